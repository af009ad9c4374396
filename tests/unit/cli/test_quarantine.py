"""`tocsin quarantine`: what is kept is shown, and a person's words reach the ledger."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import typer
from typer.testing import Result

from tests.unit.cli.premises import Premises, partition
from tests.unit.ops.regions_rows import AT_US, garbage, kept, request, store_all
from tocsin.cli.quarantine import parse_time_us
from tocsin.core.budget import Budget
from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Decision, Stage
from tocsin.core.statements import PersonWord, Replica, RequestOrder, Said, Word
from tocsin.engines.store import Document

Run = Callable[..., Result]
BAD, ASIDE, GONE, FINE = request(3), request(4, dedup_key="db-8"), request(5, dedup_key="db-9"), request(6)
GARBAGE = garbage()
ROW = (Decision(AT_US, "QUARANTINE", "all-refused", "own: rejected; b: refused"),)


@pytest.fixture
def kept_rows(premises: Premises) -> Premises:
    premises.make()
    premises.open()
    for region in ("a", "b"):
        premises.keep(region, kept(BAD, Stage.QUARANTINED, decisions=ROW), kept(GARBAGE, Stage.QUARANTINED))
        premises.in_store(region, lambda store: store_all(store, [FINE]))
    premises.keep("a", kept(ASIDE, Stage.ASIDE), kept(GONE, Stage.DROPPED), kept(request(7), Stage.DONE))
    return premises


def listed(run: Run, *words: str) -> list[tuple[str, str, str]]:
    return [
        (row["region"], row["stage"], row["key"])
        for row in json.loads(run("quarantine", "ls", "--json", *words).stdout)
    ]


def test_a_list_has_what_each_region_keeps_and_the_row_that_put_it_there(run: Run, kept_rows: Premises) -> None:
    assert set(listed(run)) == {
        *((region, "quarantined", some) for region in "ab" for some in (BAD.key.printed, GARBAGE[0].printed)),
        ("a", "set_aside", ASIDE.key.printed),
        ("a", "dropped", GONE.key.printed),
    }
    assert listed(run, "--stage", "set_aside") == [("a", "set_aside", ASIDE.key.printed)]
    assert {region for region, _, _ in listed(run, "--region", "b")} == {"b"}
    text = run("quarantine", "ls").stdout
    assert "all-refused" in text
    assert "(undecodable)" in text
    assert "region a has more than these 1" in run("quarantine", "ls", "--limit", "1").stderr


def test_a_payload_is_shown_without_its_secrets(run: Run, kept_rows: Premises) -> None:
    text = run("quarantine", "show", BAD.key.printed).stdout
    assert '"summary": "disk 3 is full"' in text
    assert '"password": "[redacted]"' in text
    assert "hunter2" not in text
    assert "a: quarantined, b: quarantined" in text
    shown = json.loads(run("quarantine", "show", BAD.key.printed, "--json").stdout)
    assert shown["body"]["payload"]["custom_details"]["free"] == 3


def test_a_payload_that_nobody_can_decode_is_shown_as_the_bytes_that_it_is(run: Run, kept_rows: Premises) -> None:
    text = run("quarantine", "show", GARBAGE[0].printed).stdout
    assert "cannot be read: undecodable: the record has no key" in text
    assert "\\xff\\x00 no request" in text


def test_a_redrive_is_a_word_in_the_ledger_of_one_region(run: Run, kept_rows: Premises) -> None:
    result = run("quarantine", "redrive", BAD.key.printed, "--why", "store mended", "--yes")
    assert result.exit_code == 0
    assert "will do: redrive 1 request in every region" in result.stderr
    [(number, order)] = kept_rows.orders("a")
    assert (number, order.key, order.number, order.word) == (partition(BAD.key), BAD.key, 1, PersonWord.REDRIVE)
    assert order.why == "store mended"
    assert "@" in order.by
    assert kept_rows.orders("b") == []
    assert "ledger of region a" in result.stdout


def test_each_word_has_a_number_above_all_that_are_known(run: Run, kept_rows: Premises) -> None:
    known = RequestOrder(BAD.key, 6, PersonWord.DROPPED, "kim", AT_US)
    kept_rows.say("b", partition(BAD.key), known)
    run("quarantine", "redrive", BAD.key.printed, "--yes")
    assert [order.number for _, order in kept_rows.orders("a")] == [7]


def test_a_redrive_of_all_leaves_what_was_dropped_or_stored(run: Run, kept_rows: Premises) -> None:
    said = json.loads(run("quarantine", "redrive", "--all", "--yes", "--json").stdout)
    assert set(said["requests"]) == {BAD.key.printed, ASIDE.key.printed, GARBAGE[0].printed}
    by_key = {order.key: number for number, order in kept_rows.orders("a")}
    assert by_key[GARBAGE[0]] == kept(GARBAGE, Stage.QUARANTINED).partition


def test_a_redrive_of_a_service_leaves_the_others(run: Run, kept_rows: Premises) -> None:
    said = json.loads(run("quarantine", "redrive", "--service", "checkout", "--yes", "--json").stdout)
    assert set(said["requests"]) == {BAD.key.printed, ASIDE.key.printed}
    nothing = run("quarantine", "redrive", "--service", "nobody", "--yes")
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing to redrive\n")


def test_a_redrive_of_what_was_stored_is_refused(run: Run, kept_rows: Premises) -> None:
    result = run("quarantine", "redrive", FINE.key.printed, "--yes")
    assert result.exit_code == 1
    assert "was stored and nobody refused it (a: stored, b: stored)" in result.stderr
    assert kept_rows.orders("a") == []


def test_a_drop_says_how_to_undo_it_and_is_not_done_unasked(run: Run, kept_rows: Premises) -> None:
    result = run("quarantine", "drop", BAD.key.printed)
    assert result.exit_code == 2
    assert "to undo: tocsin quarantine redrive KEY" in result.stderr
    assert kept_rows.orders("a") == []

    run("quarantine", "drop", BAD.key.printed, "--yes")
    assert [order.word for _, order in kept_rows.orders("a")] == [PersonWord.DROPPED]
    (line,) = json.loads(run("audit", "ls", "--action", "said", "--json").stdout)
    assert (line["word"], line["count"], line["requests"]) == ("dropped", 1, [BAD.key.printed])


def said(key: RequestKey, region: str, word: Word, since_us: int) -> Said:
    kind = Kind.REJECTED if word is Word.FAILED else None
    return Said(key, Replica(region, "blue"), word, 1, 1, since_us, kind)


def test_a_drop_by_peer_takes_what_it_stored_since_then_and_others_could_not(run: Run, kept_rows: Premises) -> None:
    late, early, agreed = request(20), request(21), request(22)
    for some, stored_us in ((late, AT_US + 100), (early, AT_US - 100), (agreed, AT_US + 100)):
        kept_rows.say("b", partition(some.key), said(some.key, "b", Word.STORED, stored_us))
        other = Word.STORED if some is agreed else Word.FAILED
        kept_rows.say("a", partition(some.key), said(some.key, "a", other, AT_US))
    since = datetime.fromtimestamp(AT_US / 1e6, UTC).isoformat()

    dropped = json.loads(run("quarantine", "drop", "--peer", "b", "--since", since, "--yes", "--json").stdout)

    assert dropped["requests"] == [late.key.printed]
    again = run("quarantine", "drop", "--peer", "b", "--since", since, "--yes")
    assert again.stdout == "nothing to drop\n"
    assert run("quarantine", "drop", "--peer", "nowhere", "--since", since, "--yes").exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("redrive",),
        ("redrive", BAD.key.printed, "--all"),
        ("drop",),
        ("drop", "--peer", "b"),
        ("drop", "--since", "2h", BAD.key.printed),
        ("drop", "--peer", "b", "--since", "yesterday"),
    ],
)
def test_a_choice_that_is_none_or_two_is_a_usage_error(run: Run, kept_rows: Premises, words: tuple[str, ...]) -> None:
    assert run("quarantine", *words, "--yes").exit_code == 2


def test_a_word_goes_to_the_next_region_when_one_cannot_be_reached(run: Run, kept_rows: Premises) -> None:
    kept_rows.log_path("a").unlink()
    result = run("quarantine", "redrive", BAD.key.printed, "--yes")
    assert result.exit_code == 0
    assert "ledger of region b" in result.stdout
    assert len(kept_rows.orders("b")) == 1


@pytest.mark.parametrize("words", [("redrive", "--all", "--yes"), ("ls",), ("show", BAD.key.printed)])
def test_where_nothing_can_be_reached_nothing_is_decided(run: Run, premises: Premises, words: tuple[str, ...]) -> None:
    result = run("quarantine", *words)
    assert result.exit_code == 3
    assert "not read: store of a: there is no Tocsin outcome store" in result.stderr
    assert not premises.data_dir.exists()


def test_a_spent_budget_is_released_once_it_is_confirmed(run: Run, kept_rows: Premises) -> None:
    spent = Document("budget", 7, Budget(("checkout", "search"), spent=True).encode())
    kept_rows.in_store("a", lambda store: store.put_document(spent))

    asked = run("quarantine", "release-budget", "--region", "a")
    assert asked.exit_code == 2
    assert "(spent; 2 services counted: checkout, search)" in asked.stderr

    assert run("quarantine", "release-budget", "--region", "a", "--yes").exit_code == 0
    document = kept_rows.in_store("a", lambda store: store.document("budget"))
    assert (document.version, Budget.decode(document.value)) == (8, Budget())
    assert "nothing was counted" in run("quarantine", "release-budget", "--region", "a", "--yes").stdout
    (line,) = json.loads(run("audit", "ls", "--action", "budget_released", "--json").stdout)
    assert (line["region"], line["counted"], line["spent"]) == ("a", ["checkout", "search"], True)


def test_that_nothing_is_kept_is_said_only_when_all_was_read(run: Run, premises: Premises) -> None:
    premises.make()
    assert run("quarantine", "ls").stdout == "nothing is kept: every request was stored\n"
    assert run("quarantine", "ls", "--stage", "quarantined").stdout == (
        "nothing is quarantined; other stages were not looked at\n"
    )

    premises.store_path("b").unlink()
    assert run("quarantine", "ls").stdout == "nothing was found in what could be read\n"


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("90s", 10**12 - 90_000_000),
        ("30min", 10**12 - 1_800_000_000),
        ("2 h", 10**12 - 7_200_000_000),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000_000),
        ("2026-01-31T12:00:00", 1_769_860_800_000_000),
        ("2026-01-31T13:00:00+01:00", 1_769_860_800_000_000),
    ],
)
def test_a_time_is_written_as_it_is_or_as_how_long_ago(text: str, at_us: int) -> None:
    assert parse_time_us(text, 10**12) == at_us


@pytest.mark.parametrize("text", ["", "h", "2 weeks", "12:00", "2026-13-01"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-01-31T12:00:00Z"):
        parse_time_us(text, 10**12)
