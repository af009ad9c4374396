"""Plain words of a bundle, and the inbox."""

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.roles.delivery.bundles import INBOX, assignment, bundle
from tocsin.core.paging.feedback import Outcome
from tocsin.roles.delivery import inbox, plain


@given(st.text(max_size=400), st.text(max_size=40))
def test_no_text_gets_control_characters_into_a_message(title: str, source: str) -> None:
    about = msgspec.structs.replace(assignment(title=title), source=source)
    message = plain.render(bundle(about))
    for text in (message.subject, message.short, message.spoken):
        assert text.isprintable()
    assert len(message.short) <= plain.SHORT_MAX
    assert all(line.isprintable() for line in message.long.split("\n"))


def test_a_message_names_ten_incidents_and_counts_the_rest() -> None:
    message = plain.render(bundle(*(assignment(n) for n in range(25))))
    assert message.subject == "[checkout] Disk 0 is full (+24 more)"
    assert "Disk 9 is full" in message.long
    assert "Disk 10 is full" not in message.long
    assert "and 15 more" in message.long


async def test_an_inbox_shows_what_it_was_given_and_turns_over_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "inbox" / "a.jsonl"
    provider = inbox.InboxProvider(path)
    one = bundle()
    assert (await provider.deliver(plain.render(one), INBOX)).outcome is Outcome.DELIVERED

    path.write_bytes(path.read_bytes() + b"{torn\n" + b" " * inbox.FILE_BYTES_MAX + b"\n")
    await provider.deliver(plain.render(bundle(sequence=2)), INBOX)
    await provider.deliver(plain.render(bundle(sequence=3)), INBOX)

    received = list(inbox.read(path))
    assert [page.bundle for page in received] == ["a-1-1-ada", "a-1-2-ada", "a-1-3-ada"]
    assert received[0].covers == [one.intent.covers.hex()]
