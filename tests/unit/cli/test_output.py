"""Tables, JSON, times for people, and asking before a deed."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer

from tocsin.cli import output

COLUMNS = {"name": lambda row: row["name"], "n": lambda row: row["n"]}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Makes stdin a terminal; yields the file descriptor at which a person would type."""
    person, ours = os.openpty()
    with os.fdopen(ours, "r", encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person
    os.close(person)


def test_a_list_is_a_table_that_a_pipe_does_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_list([{"name": "x" * 300, "n": 1}, {"name": "y", "n": 22}], COLUMNS, as_json=False, empty="none")

    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "n"]
    assert first.split() == ["x" * 300, "1"]
    assert second == "y" + " " * 301 + "22"


KEY = "0x5d684054fc3540a0.0123456789ab"


def show_narrow(monkeypatch: pytest.MonkeyPatch, rows: Sequence[output.Row]) -> None:
    """Shows rows as on a terminal of 80 columns without colours."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.show_list(rows, output.plain(*rows[0]), as_json=False, empty="none")


def test_on_a_narrow_terminal_words_wrap_and_keys_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show_narrow(monkeypatch, [{"key": KEY, "n": 1_000, "reason": f"{'refused ' * 20}{'x' * 60}"}])

    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["key", "n", "reason"]
    assert lines[0].startswith(f"{KEY}  1,000  refused")
    assert max(map(len, lines)) <= 80
    assert "".join("".join(line[40:] for line in lines).split()) == "refused" * 20 + "x" * 60


def test_a_row_that_does_not_fit_on_the_terminal_is_a_list_of_its_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"key": KEY, "peer": KEY, "reason": "x" * 90}, {"key": "k", "peer": "", "reason": "r"}]

    show_narrow(monkeypatch, rows)

    assert capsys.readouterr().out.splitlines() == [
        f"key     {KEY}",
        f"peer    {KEY}",
        f"reason  {'x' * 72}",
        f"        {'x' * 18}",
        "",
        "key     k",
        "peer",
        "reason  r",
    ]


def test_a_list_as_json_has_fields_that_the_table_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "x", "n": 1, "more": [1]}]

    output.show_list(rows, COLUMNS, as_json=True, empty="none")

    assert json.loads(capsys.readouterr().out) == rows


def test_an_empty_list_is_said_in_words_or_is_an_empty_json_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_list([], COLUMNS, as_json=False, empty="nothing is quarantined")
    output.show_list([], COLUMNS, as_json=True, empty="nothing is quarantined")

    assert capsys.readouterr().out == "nothing is quarantined\n[]\n"


def test_the_data_of_strangers_moves_no_cursor_and_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_fields({"title": "[bold]a\x1b[2J\n\u202eb\ud800"}, as_json=False)

    assert capsys.readouterr().out == "title  [bold]a\\x1b[2J\\n\\u202eb\\ud800\n"


def test_things_are_counted_in_words() -> None:
    assert [output.counted(number, "row") for number in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]


def test_plain_columns_show_numbers_with_their_thousands_and_nothing_for_none() -> None:
    columns = output.plain("set_aside", "name")
    row = {"set_aside": 12_345, "name": None}
    assert {heading: cell(row) for heading, cell in columns.items()} == {"set aside": "12,345", "name": ""}


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (1000.0, "now"),
        (999.5, "now"),
        (999.0, "1 s ago"),
        (941.0, "59 s ago"),
        (940.0, "1 min ago"),
        (1000.0 - 7_199, "1 h ago"),
        (1000.0 - 2 * 86_400, "2 d ago"),
        (1120.0, "in 2 min"),
    ],
)
def test_a_time_is_told_from_now_in_its_largest_whole_unit(at_s: float, text: str) -> None:
    assert output.ago(at_s, 1000.0) == text


def test_a_deed_is_shown_with_its_undo_and_done_with_yes(capsys: pytest.CaptureFixture[str]) -> None:
    output.confirm("drain region a", undo="tocsin region join a", yes=True)

    assert capsys.readouterr() == ("", "will do: drain region a\nto undo: tocsin region join a\n")


def test_a_deed_is_refused_where_nobody_can_be_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open(encoding="utf-8") as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(typer.Exit) as ended:
            output.confirm("drain region a", undo="tocsin region join a", yes=False)

    assert ended.value.exit_code == 2
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"n\n", b"\n"])
def test_a_deed_that_a_person_does_not_want_is_not_done(terminal: int, answer: bytes) -> None:
    os.write(terminal, answer)

    with pytest.raises(typer.Exit) as ended:
        output.confirm("drain region a", undo="tocsin region join a", yes=False)

    assert ended.value.exit_code == 1


def test_a_deed_that_a_person_wants_is_done(terminal: int) -> None:
    os.write(terminal, b"y\n")

    output.confirm("drain region a", undo="tocsin region join a", yes=False)
