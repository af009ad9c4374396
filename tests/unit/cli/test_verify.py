"""`tocsin verify`: its words, its JSON and its exit status."""

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from tests.unit.cli.premises import Premises
from tests.unit.ops.regions_rows import AT_US, complete, kept, request, store_all, tamper
from tocsin.core.kept import Stage
from tocsin.engines.store import Lost

Run = Callable[..., Result]
FILL = [request(number, dedup_key=f"db-{number % 3}") for number in range(12)]
ONE = FILL[4]
LATER_US = AT_US + 3_600_000_000


@pytest.fixture
def filled(premises: Premises) -> Premises:
    premises.make()
    for region in ("a", "b"):
        premises.in_store(region, lambda store: store_all(store, FILL))
        premises.in_store(region, lambda store: complete(store, LATER_US))
    return premises


def test_equal_regions_end_with_0(run: Run, filled: Premises) -> None:
    result = run("verify")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:3] == ["a", "12", "3"]
    assert "equal: what was received before 2023-11-14T23:13:20Z (the common complete-until)" in result.stdout
    assert json.loads(run("verify", "--json", "--all").stdout)["outcome"] == "equal"


def test_a_byte_changed_by_hand_ends_with_1_and_is_named(run: Run, filled: Premises) -> None:
    body = ONE.body.replace(b"disk 4", b"disk 5")
    tamper(filled.store_path("b"), "UPDATE entries SET body = ? WHERE digest = ?", body, ONE.key.digest)

    result = run("verify")

    assert result.exit_code == 1
    [line] = [line for line in result.stdout.splitlines() if ONE.key.printed in line]
    assert line.split()[:4] == ["b", "entry", ONE.key.printed, "body"]
    assert "different: 1 difference;" in result.stdout
    [difference] = json.loads(run("verify", "--json").stdout)["differences"]
    assert (difference["region"], difference["key"], difference["field"]) == ("b", ONE.key.printed, "body")


def test_more_differences_than_the_limit_are_counted(run: Run, filled: Premises) -> None:
    tamper(filled.store_path("b"), "DELETE FROM entries")
    result = run("verify", "--limit", "2")
    assert result.exit_code == 1
    assert "of them not shown: see --limit" in result.stdout


def test_what_is_set_aside_is_listed_and_a_lost_range_named(run: Run, filled: Premises) -> None:
    late = request(50)
    filled.keep("a", kept(late, Stage.ASIDE))
    filled.in_store("b", lambda store: store.put_lost(Lost(2, "a", 10, 25, AT_US)))
    result = run("verify")
    assert result.exit_code == 0
    assert "not yet agreed:" in result.stdout
    assert late.key.printed in result.stdout
    assert "lost in b: partition 2 of the requests of a, offsets 10 to 24" in result.stdout


@pytest.mark.parametrize("gone", [("a",), ("a", "b")])
def test_a_store_that_is_missing_ends_with_3(run: Run, filled: Premises, gone: tuple[str, ...]) -> None:
    for region in gone:
        filled.store_path(region).unlink()
    result = run("verify")
    assert result.exit_code == 3
    assert "the store of a: there is no Tocsin outcome store at" in result.stderr
    assert "inconclusive: a store could not be read" in result.stdout


def test_empty_stores_end_with_3(run: Run, premises: Premises) -> None:
    premises.make()
    result = run("verify")
    assert result.exit_code == 3
    assert "inconclusive: there was nothing that could be compared" in result.stdout
    assert "no complete-until in common yet" in result.stdout
