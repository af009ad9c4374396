"""`tocsin region`: where the regions are and how; and a person's words about them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.documents_made import drained, status
from tests.unit.cli.premises import Premises
from tocsin.core.statements import PersonWord, RegionOrder

Run = Callable[..., Result]


def row(name: str, intake: str | None = None, query: str | None = None, *, of: Premises) -> dict[str, Any]:
    ca_file = str(of.data_dir.resolve() / "authority" / "ca.pem")
    return {"name": name, "intake_url": intake, "query_url": query, "console_url": None, "ca_file": ca_file}


def found(result: Result) -> list[dict[str, Any]]:
    """Where the regions are, without how they are."""
    return [
        {name: one[name] for name in ("name", "intake_url", "query_url", "console_url", "ca_file")}
        for one in json.loads(result.stdout)
    ]


@pytest.fixture(autouse=True)
def _nothing_ran(premises: Premises) -> None:
    """Commands look into a data directory of this test."""


def test_regions_that_do_not_run_have_no_address_where_their_files_leave_the_port_free(
    run: Run, premises: Premises
) -> None:
    assert found(run("region", "ls", "--json")) == [row("a", of=premises), row("b", of=premises)]
    assert run("region", "ls").stdout.splitlines()[1].split("  ")[0].startswith("a")
    assert "not running" in run("region", "ls").stdout


def test_what_runs_is_found_where_it_was_published(run: Run, premises: Premises, tmp_path: Path) -> None:
    a = row("a", "https://127.0.0.1:1111", "https://127.0.0.1:2222", of=premises)
    up = {"regions": [a], "routing_key": "r", "token": "t"}
    (tmp_path / "up.json").write_text(json.dumps(up), encoding="utf-8")

    result = run("region", "ls", "--json")

    assert found(result) == [a, row("b", of=premises)]


def test_a_fixed_port_is_known_from_the_file(run: Run, premises: Premises, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__INTAKE", "{host: localhost.example, port: 8080}")

    assert found(run("region", "ls", "--json"))[0] == row("a", "https://localhost.example:8080", of=premises)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"regions": 3}', '{"regions": [{}]}', '{"regions": [3]}'])
def test_a_damaged_publication_is_named_and_said_how_to_mend(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text, encoding="utf-8")

    result = run("region", "ls")

    assert result.exit_code == 1
    assert f"{tmp_path}/up.json: is not what `tocsin up` writes; remove it" in result.stderr


# How they are --------------------------------------------------------------------------------------------------------


def test_how_regions_are_is_told_by_what_their_creators_wrote(run: Run, premises: Premises) -> None:
    premises.make()
    why = "0x01.02: better-peer-stored"
    now_us = int(time.time() * 1e6)
    for document in (status(0, at_us=now_us), status(1, at_us=now_us, halted=[why]), drained("b")):
        premises.in_store("a", lambda store, document=document: store.put_document(document))
    premises.in_store("b", lambda store: store.put_document(status(0, ill=True, at_us=now_us - 300_000_000)))

    a, b = json.loads(run("region", "ls", "--json").stdout)

    assert (a["drained"], a["halted"], a["ill"]) == (False, [why], False)
    assert (b["drained"], b["halted"], b["ill"]) == (True, [], True)
    assert 299 < b["heard_s"] < 400
    text = run("region", "ls").stdout
    assert f"halted ({why})" in text
    assert "drained, silent, last seen 5 min ago, ill" in text


def test_of_many_halts_one_is_shown_and_the_others_are_counted(run: Run, premises: Premises) -> None:
    premises.make()
    whys = [f"0x0{digit}.02: budget-spent" for digit in "123"]
    premises.in_store("a", lambda store: store.put_document(status(0, at_us=int(time.time() * 1e6), halted=whys)))

    assert "halted (0x01.02: budget-spent; 2 more: tocsin progress)" in run("region", "ls").stdout
    assert json.loads(run("region", "ls", "--json").stdout)[0]["halted"] == whys


def test_a_region_that_never_ran_and_one_without_a_store_are_said_so(run: Run, premises: Premises) -> None:
    premises.make()
    premises.store_path("b").unlink()
    text = run("region", "ls").stdout
    assert "never ran" in text
    assert "unknown: there is no Tocsin outcome store at" in text


# A person's words ----------------------------------------------------------------------------------------------------


def test_a_drain_is_said_in_every_partition_of_another_regions_ledger(run: Run, premises: Premises) -> None:
    premises.make()
    result = run("region", "drain", "a", "--why", "storm", "--yes")
    assert result.exit_code == 0
    assert "clients leave it, its ticks no longer hold complete-until, its words no longer vote" in result.stderr
    assert "to undo: tocsin region join a" in result.stderr
    said = premises.region_orders("b")
    assert [number for number, _ in said] == [0, 1, 2, 3]
    assert {(order.region, order.number, order.word, order.why) for _, order in said} == {
        ("a", 1, PersonWord.DRAINED, "storm")
    }
    assert premises.region_orders("a") == []


def test_who_drained_a_region_is_in_the_audit_trail_of_where_it_was_said(run: Run, premises: Premises) -> None:
    premises.make()
    run("region", "drain", "a", "--why", "storm", "--yes")
    (line,) = json.loads(run("audit", "ls", "--action", "said", "--json").stdout)
    assert (line["region"], line["word"], line["about"], line["why"]) == ("b", "drained", "region a", "storm")
    assert "@" in line["by"]


def test_a_join_and_a_removal_are_numbered_above_what_was_said(run: Run, premises: Premises) -> None:
    premises.make()
    run("region", "drain", "a", "--yes")
    run("region", "join", "a", "--yes")
    run("region", "remove", "a", "--yes")
    numbers = {(order.number, order.word) for region in ("a", "b") for _, order in premises.region_orders(region)}
    assert numbers == {(1, PersonWord.DRAINED), (2, PersonWord.JOINED), (3, PersonWord.REMOVED)}


def test_what_is_said_already_is_not_said_again_but_what_was_said_in_part_is(run: Run, premises: Premises) -> None:
    premises.make()
    premises.say("b", 2, RegionOrder("a", 5, PersonWord.DRAINED, "kim", 1))
    assert run("region", "drain", "a", "--yes").exit_code == 0
    before = premises.region_orders("b")
    assert {order.number for _, order in before} == {5, 6}

    result = run("region", "drain", "a", "--yes")
    assert "region a is drained already" in result.stdout
    assert premises.region_orders("b") == before


@pytest.mark.parametrize("command", ["drain", "remove"])
def test_the_last_undrained_region_stays_unless_forced(run: Run, premises: Premises, command: str) -> None:
    premises.make()
    run("region", "drain", "a", "--yes")

    refused = run("region", command, "b", "--yes")
    assert refused.exit_code == 1
    assert "refused by the rule 'last-undrained'" in refused.stderr
    assert "--force" in refused.stderr
    assert not [order for _, order in premises.region_orders("a") if order.region == "b"]

    assert run("region", command, "b", "--yes", "--force").exit_code == 0


def test_a_region_that_is_lost_can_be_drained_from_the_other(run: Run, premises: Premises) -> None:
    premises.make()
    premises.log_path("a").unlink()
    premises.store_path("a").unlink()
    assert run("region", "drain", "a", "--yes").exit_code == 0
    assert len(premises.region_orders("b")) == 4


def test_words_are_not_said_unasked_nor_where_nothing_can_be_reached(run: Run, premises: Premises) -> None:
    nothing = run("region", "drain", "a", "--yes")
    assert (nothing.exit_code, premises.data_dir.exists()) == (3, False)
    premises.make()
    assert run("region", "drain", "a").exit_code == 2
    assert run("region", "drain", "nowhere", "--yes").exit_code == 1
    assert premises.region_orders("a") == premises.region_orders("b") == []
