"""`tocsin progress`: what is done, what waits, and what could not be read."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from tests.documents_made import drained, status
from tests.unit.cli.premises import Premises, partition
from tests.unit.ops.regions_rows import PARTITIONS, complete, request, tamper
from tocsin.core.budget import Budget
from tocsin.core.documents import BUDGET
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.engines.store import Document, Lost

Run = Callable[..., Result]
NOW_US = time.time_ns() // 1000
WAITING = [request(number, received_us=NOW_US - 60_000_000) for number in range(5)]
NUMBER = partition(WAITING[0].key)


def account(low: int, *runs: tuple[int, int], partition: int = NUMBER) -> ProgressRow:
    source = SourceProgress(Coordinates("c", "requests", "i", partition), Runs(low, runs))
    return ProgressRow(partition, 1, clean=True, sources={"a": source})


def sources(run: Run, *words: str, region: int = 0) -> dict[str, Any]:
    shown = json.loads(run("progress", "--json", "--over", "0", *words).stdout)
    return {source["source"]: source for source in shown["regions"][region]["partitions"][NUMBER]["sources"]}


def test_what_is_not_done_lags_in_records_and_seconds_and_retention_leaves_it_headroom(
    run: Run, premises: Premises
) -> None:
    premises.make()
    premises.append("a", *WAITING)
    premises.in_store("a", lambda store: store.save_progress(account(1, (2, 4))))
    own = sources(run)["a"]
    assert (own["low"], own["runs"], own["log_end"], own["lag_records"]) == (1, 1, 5, 2)
    waiting_s = time.time() - NOW_US / 1e6 + 60  # since this module was loaded, which a long run did long ago
    assert own["lag_s"] == pytest.approx(waiting_s, abs=10)
    assert own["headroom_s"] == pytest.approx(604_800 - waiting_s, abs=10)

    mirrored = sources(run, region=1)["a"]
    assert (mirrored["low"], mirrored["lag_records"]) == (None, 5)


def test_what_is_done_lags_nothing(run: Run, premises: Premises) -> None:
    premises.make()
    premises.append("a", *WAITING)
    premises.in_store("a", lambda store: store.save_progress(account(5)))
    own = sources(run)["a"]
    assert (own["lag_records"], own["lag_s"], own["headroom_s"]) == (0, 0.0, None)


def test_what_retention_removed_unread_is_no_lag_but_said(run: Run, premises: Premises) -> None:
    premises.make()
    premises.append("a", *WAITING)
    premises.in_store("a", lambda store: store.save_progress(account(1, (2, 3), (4, 5))))
    tamper(premises.log_path("a"), "UPDATE partitions SET log_start = 3 WHERE next_offset = 5")
    own = sources(run)["a"]
    assert (own["log_start"], own["lag_records"], own["unread"]) == (3, 1, 1)
    assert "retention removed 1 records before they were read" in run("progress", "--over", "0").stdout


def test_the_table_names_what_holds_a_partition(run: Run, premises: Premises) -> None:
    premises.make()
    halted = "0x5d684054fc3540a0.0123456789ab: better-peer-stored"
    others = [f"0x5d684054fc3540a{digit}.0123456789ab: budget-spent" for digit in "123"]
    for document in (
        status(1, at_us=NOW_US, halted=[halted, *others], held=3, set_aside=7, quarantined=11),
        Document(BUDGET, 1, Budget(("checkout",), spent=True).encode()),
        drained("b"),
    ):
        premises.in_store("a", lambda store, document=document: store.put_document(document))
    premises.in_store("a", lambda store: store.put_lost(Lost(2, "b", 10, 25, NOW_US)))
    premises.in_store("a", lambda store: complete(store, NOW_US - 30_000_000))

    text = run("progress", "--over", "0").stdout

    assert f"partition 1 is halted: {halted}\n    tocsin ledger explain 0x5d684054fc3540a0.0123456789ab\n" in text
    assert "partition 1 is halted by 2 more requests: tocsin quarantine ls --stage held" in text
    assert "the budget is spent; services counted: checkout" in text
    assert "tocsin quarantine release-budget --region a" in text
    assert "lost: partition 2 of the requests of b, offsets 10 to 24" in text
    assert "but for what b holds (drained)" in text
    assert ["1", "3", "7", "11"] in [line.split()[:4] for line in text.splitlines()]
    assert "region b: complete until: unknown" in text


def test_tables_fit_into_80_columns_with_a_long_backlog(run: Run, premises: Premises) -> None:
    premises.make()
    premises.append("a", *(request(number, received_us=NOW_US - 3_600_000_000) for number in range(5)))
    premises.in_store("a", lambda store: store.put_document(status(NUMBER, at_us=NOW_US, held=16)))
    premises.in_store("a", lambda store: store.save_progress(account(1, (2, 4))))
    tamper(premises.log_path("a"), "UPDATE partitions SET next_offset = 10004 WHERE next_offset = 5")
    text = run("progress", "--over", "0").stdout
    assert "10,001" in text
    assert max(map(len, text.splitlines())) <= 80


def test_paces_are_measured_between_two_looks(run: Run, premises: Premises) -> None:
    premises.make()
    premises.append("a", *WAITING)
    for number in range(PARTITIONS):
        premises.in_store("a", lambda store, number=number: store.save_progress(account(0, partition=number)))
    shown = json.loads(run("progress", "--json", "--over", "0.05").stdout)
    pace = shown["regions"][0]["partitions"][NUMBER]["sources"][0]["pace"]
    assert pace == {"arrival_per_s": 0.0, "done_per_s": 0.0, "spare_per_s": 0.0, "recover_s": None}
    text = run("progress", "--over", "0.05").stdout
    assert f"partition {NUMBER}, requests of a: the backlog does not shrink at this pace" in text


def test_a_region_that_cannot_be_read_is_named_and_the_other_still_shown(run: Run, premises: Premises) -> None:
    premises.make()
    premises.store_path("a").unlink()
    result = run("progress", "--over", "0")
    assert result.exit_code == 0
    assert "not read: store of a: there is no Tocsin outcome store at" in result.stderr
    assert "region b:" in result.stdout


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_an_empty_data_directory_ends_with_3_and_stays_empty(
    run: Run, premises: Premises, as_json: tuple[str, ...]
) -> None:
    result = run("progress", *as_json)
    assert result.exit_code == 3
    assert not premises.data_dir.exists()
