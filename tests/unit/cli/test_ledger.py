"""`tocsin ledger`: what was said about a request, and why it is where it is."""

import json
import time
from collections.abc import Callable

import pytest
from typer.testing import Result

from tests.unit.cli.premises import Premises, partition
from tests.unit.ops.regions_rows import AT_US, garbage, kept, request, store_all
from tocsin.core.failures import Kind
from tocsin.core.ids import NOBODY, RequestKey
from tocsin.core.kept import Decision, Stage
from tocsin.core.requests import encode_request
from tocsin.core.statements import Payload, PersonWord, Replica, RequestOrder, Said, Word
from tocsin.core.verdict import TABLE

Run = Callable[..., Result]
BAD = request(3)
KEY = BAD.key.printed
HALT = Decision(AT_US, "HALT", "better-peer-stored", "own: rejected (too long); b: stored (serves)")


def failed(region: str, key: RequestKey = BAD.key, *, incarnation: int = 1, reason: str = "too long") -> Said:
    since_us = time.time_ns() // 1000 - 185_000_000
    return Said(key, Replica(region, "blue"), Word.FAILED, incarnation, 1, since_us, Kind.REJECTED, reason)


@pytest.fixture
def halted(premises: Premises) -> Premises:
    """Region a refuses what b stored, and halts."""
    premises.make()
    premises.open(halted=("a",), at_us=time.time_ns() // 1000 - 2_000_000)
    number = partition(BAD.key)
    premises.say("a", number, Payload(BAD.key, encode_request(BAD).encode()), failed("a"))
    premises.say("b", number, Said(BAD.key, Replica("b", "blue"), Word.STORED, 1, 1, AT_US))
    premises.keep("a", kept(BAD, Stage.HELD, decisions=(HALT,)))
    premises.in_store("b", lambda store: store_all(store, [BAD]))
    return premises


def test_a_list_has_each_regions_word_and_where_the_request_is_now(run: Run, halted: Premises) -> None:
    [row] = json.loads(run("ledger", "ls", "--json").stdout)
    assert row["key"] == KEY
    assert row["words"] == {"a": "failed (rejected)", "b": "stored"}
    assert row["where"] == {"a": "held", "b": "stored"}

    table = run("ledger", "ls").stdout
    assert "a: failed (rejected), b: stored" in table
    assert "a: held, b: stored" in table


def test_a_list_of_a_region_has_only_what_it_spoke_of(run: Run, halted: Premises) -> None:
    other = request(9)
    halted.say("b", partition(other.key), failed("b", other.key))
    assert [row["key"] for row in json.loads(run("ledger", "ls", "--region", "a", "--json").stdout)] == [KEY]
    assert len(json.loads(run("ledger", "ls", "--json").stdout)) == 2
    limited = run("ledger", "ls", "--limit", "1")
    assert "1 older ones are not shown" in limited.stderr
    assert run("ledger", "ls", "--region", "x").exit_code == 1


def test_explain_says_why_in_words(run: Run, halted: Premises) -> None:
    result = run("ledger", "explain", KEY)
    assert result.exit_code == 0
    text = result.stdout
    for words in (
        f"request {KEY} (partition {partition(BAD.key)})",
        "trigger for service checkout, dedup key db-7/disk",
        "minted 2023-11-14T22:13:23Z",
        "received in region a 2023-11-14T22:13:23Z",
        "a: failed (rejected) since ",
        "(3 min ago): too long",
        "b: stored since ",
        "a: halted; last heartbeat ",
        "b: serving; last heartbeat ",
        "a: held",
        "HALT by row better-peer-stored: proof that the fault is ours, while a better region serves",
        "seen: own: rejected (too long); b: stored (serves)",
        "a tries it again every few seconds, for ever",
        f"tocsin quarantine redrive {KEY}",
        f"tocsin quarantine drop {KEY}",
    ):
        assert words in text


def test_explain_as_json_has_the_decisions_with_the_reason_of_their_row(run: Run, halted: Premises) -> None:
    explained = json.loads(run("ledger", "explain", KEY, "--json").stdout)
    [decision] = explained["kept"]["a"]["decisions"]
    assert (decision["row"], decision["verdict"]) == ("better-peer-stored", "HALT")
    assert explained["where"] == {"a": "held", "b": "stored"}


@pytest.mark.parametrize("row", [*(row.name for row in TABLE), "budget-spent", "redrive-3"])
def test_every_row_that_can_decide_is_explained(run: Run, premises: Premises, row: str) -> None:
    premises.make()
    premises.keep("a", kept(BAD, Stage.HELD, decisions=(Decision(AT_US, "HALT", row, "seen"),)))
    text = run("ledger", "explain", KEY).stdout
    assert f"by row {row}: " in text
    assert "does not have" not in text
    assert ("tocsin quarantine release-budget --region a" in text) == (row == "budget-spent")


def test_a_word_of_an_older_incarnation_is_shown_and_said_to_count_no_more(run: Run, premises: Premises) -> None:
    premises.make()
    premises.open()
    premises.say("a", partition(BAD.key), failed("a", incarnation=0, reason="of old"))
    assert "of old [counts no more: stack blue, data 0]" in run("ledger", "explain", KEY).stdout
    [word] = json.loads(run("ledger", "show", KEY, "--json").stdout)["words"]
    assert (word["counts"], word["incarnation"]) == (False, 0)


def test_what_was_stored_everywhere_and_never_spoken_of_is_found_in_the_stores(run: Run, premises: Premises) -> None:
    premises.make()
    for region in ("a", "b"):
        premises.in_store(region, lambda store: store_all(store, [BAD]))
    text = run("ledger", "explain", KEY).stdout
    assert "no region ever said anything about it in the ledger: nobody failed to store it" in text
    assert "  a: stored\n  b: stored" in text


def test_a_record_that_nobody_can_decode_is_explained_by_what_is_known(run: Run, premises: Premises) -> None:
    premises.make()
    key, record = garbage()
    assert key.parent == NOBODY
    premises.say("b", 2, Payload(key, record.encode()), failed("b", key, reason="undecodable: no key"))
    text = run("ledger", "explain", key.printed).stdout
    assert f"request {key.printed} (partition 2)" in text
    assert "undecodable: the record has no key, so no parent" in text
    assert "all that is known of it is the digest of its bytes" in text
    assert "(undecodable)" in run("ledger", "ls").stdout


def test_show_has_all_statements_and_who_opened_what(run: Run, halted: Premises) -> None:
    halted.say("b", partition(BAD.key), RequestOrder(BAD.key, 4, PersonWord.REDRIVE, "kim@desk", AT_US, "store mended"))
    shown = json.loads(run("ledger", "show", KEY, "--json").stdout)
    assert [(word["replica"], word["word"], word["counts"]) for word in shown["words"]] == [
        ("a/blue", "failed", True),
        ("b/blue", "stored", True),
    ]
    assert shown["payload_bytes"] > 100
    assert (shown["order"]["person"], shown["order"]["number"], shown["order"]["why"]) == (
        "kim@desk",
        4,
        "store mended",
    )
    assert [one["replica"] for one in shown["incarnations"]] == ["a/blue", "b/blue"]

    text = run("ledger", "show", KEY).stdout
    assert "database of b" in text
    assert "kim@desk said redrive" in run("ledger", "explain", KEY).stdout


@pytest.mark.parametrize("command", ["show", "explain"])
def test_an_unknown_key_is_said_with_where_it_was_looked_for(run: Run, premises: Premises, command: str) -> None:
    premises.make()
    result = run("ledger", command, KEY)
    assert result.exit_code == 3
    assert f"{KEY} is unknown" in result.stderr
    assert "ledger a: ledger, ledger a: b.ledger, ledger b: ledger, ledger b: a.ledger, store of a" in result.stderr


def test_what_is_no_key_is_a_usage_error(run: Run, premises: Premises) -> None:
    premises.make()
    assert run("ledger", "explain", "0x12").exit_code == 2


def test_a_region_that_cannot_be_reached_is_named_and_the_other_still_shown(run: Run, halted: Premises) -> None:
    for path in (halted.log_path("a"), halted.store_path("a")):
        path.unlink()
    result = run("ledger", "explain", KEY)
    assert result.exit_code == 0
    assert "not read: store of a: there is no Tocsin outcome store at" in result.stderr
    assert "not read: log of a: there is no log at" in result.stderr
    assert "a: failed (rejected) since" in result.stdout  # from the mirrored copy in b
    assert "a: its store could not be read" in result.stdout
    assert not halted.log_path("a").exists()


def test_an_empty_data_directory_is_said_in_words(run: Run, premises: Premises) -> None:
    result = run("ledger", "ls")
    assert result.exit_code == 3
    assert "there is no log at" in result.stderr
    assert result.stdout == "nothing was found in what could be read\n"
    assert not premises.data_dir.exists()
