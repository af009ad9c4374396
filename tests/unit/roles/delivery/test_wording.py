"""Wording: what templates make of bundles, and that no template and no title keeps a page from going out whole."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.roles.delivery.bundles import assignment, bundle
from tocsin.core.paging.effects import Bundle
from tocsin.core.paging.feedback import COVERS_MAX
from tocsin.roles.delivery import plain
from tocsin.roles.delivery.wording import ITEMS_MAX, PARTS, Wording

OURS = Wording()


def own(folder: Path, **templates: str) -> Wording:
    for part, text in templates.items():
        (folder / f"{part}.j2").write_text(text, encoding="utf-8")
    return Wording(folder)


def some(count: int, *, old: int = 0, title: str = "") -> Bundle:
    one = bundle(*(assignment(n, title=title) for n in range(count)))
    items = tuple(item._replace(is_new=n >= old) for n, item in enumerate(one.items))
    return one._replace(items=items)


def test_each_part_tells_of_what_is_new_and_of_what_is_open_still() -> None:
    message = OURS.render(some(3, old=1))
    assert message.id == "a-1-1-ada"
    assert message.subject == "[checkout] Disk 1 is full (+2 more)"
    assert message.short == "URGENT [checkout] Disk 1 is full on db-1 (+2 more)"
    assert message.spoken == (
        "This is Tocsin, for Ada. 3 open incidents. The first is of the service checkout: Disk 1 is full."
    )
    assert message.long.startswith("Ada,\n\n2 new incidents for you:\n\n- Disk 1 is full\n  checkout | db-1 | since ")
    assert "1 still open:\n\n- Disk 0 is full" in message.long
    assert message.long.endswith("Sent by region a to inbox, high urgency. Page a-1-1-ada.\n")


@pytest.mark.parametrize("old", [0, COVERS_MAX])
def test_the_largest_bundle_stays_within_the_limits_and_says_how_many_there_are(old: int) -> None:
    message = OURS.render(some(COVERS_MAX, old=old, title="long title " * 30))
    for part, length_max in PARTS.items():
        assert len(getattr(message, part)) <= length_max + 1
    assert f"and {COVERS_MAX - ITEMS_MAX} more" in message.long
    assert message.subject.endswith(f"(+{COVERS_MAX - 1} more)")


@given(title=st.text(max_size=300), source=st.text(max_size=40), name=st.text(max_size=40))
def test_no_text_of_strangers_steers_a_terminal_adds_a_header_or_is_taken_for_a_template(
    title: str, source: str, name: str
) -> None:
    one = bundle(msgspec.structs.replace(assignment(title=title + "{{ 7 * 7 }}{% for %}"), source=source))
    one = one._replace(person=msgspec.structs.replace(one.person, name=name))
    message = OURS.render(one)
    for text in (message.subject, message.short, message.spoken):
        assert text.isprintable()
    assert all(line.isprintable() for line in message.long.split("\n"))
    assert "{{ 7 * 7 }}" in message.long or len(title) > 150


def test_a_template_of_ones_own_goes_before_ours(tmp_path: Path) -> None:
    message = own(tmp_path, subject="{{ first.title|upper }}").render(bundle())
    assert message.subject == "DISK 0 IS FULL"
    assert message.short == OURS.render(bundle()).short


@pytest.mark.parametrize(
    "text",
    [
        "{{ nobody.knows }}",
        "{% for %}",
        "{{ 1 / 0 }}",
        "{{ first.title.__class__.__mro__ }}",
        "{% include '../../etc/passwd' %}",
        "{{ 'x' * 10 ** 12 }}",
        "{% set _ = new.append(1) %}",
        "  \n ",
    ],
)
def test_a_template_that_fails_is_told_of_and_plain_words_go_out_in_its_place(tmp_path: Path, text: str) -> None:
    wording = own(tmp_path, subject=text, long=text)
    message, plainly = wording.render(bundle()), plain.render(bundle())
    assert (message.subject, message.long) == (plainly.subject, plainly.long)
    assert message.short == OURS.render(bundle()).short


def test_which_template_fails_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own(tmp_path, short="{{ nobody }}").render(bundle())
    assert "the template short.j2 fails, so plain words are sent in its place: 'nobody' is undefined" in caplog.text


def test_a_folder_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert Wording(tmp_path / "none").render(one := bundle()) == OURS.render(one)


def test_a_time_that_is_none_is_no_reason_not_to_page() -> None:
    about = msgspec.structs.replace(assignment(), since_us=10**30)
    assert "since a time that is none" in OURS.render(bundle(about)).long


@given(st.text(max_size=200), st.integers(1, 50))
def test_lines_are_cut_at_the_limit_and_hold_printable_text_alone(text: str, length_max: int) -> None:
    found = plain.clean_lines(text, length_max)
    assert len(found) <= length_max + 9
    assert all(line.isprintable() for line in found.split("\n"))
    assert "\n\n\n" not in found
