"""The runner on a clock that jumps: what it proves, what it refuses to conclude, and that it always heals."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ops.alerts.made import PATH
from tests.unit.ops.drills.conftest import action, probe
from tests.unit.ops.drills.memory import JumpingClock, MemoryTarget
from tocsin.engines.errors import Misconfigured, Owned
from tocsin.ops.drills import report
from tocsin.ops.drills.journal import FILE, Journal, Undoing, read
from tocsin.ops.drills.model import load_drill
from tocsin.ops.drills.run import Moment, Run
from tocsin.ops.drills.runner import Runner, heal
from tocsin.ops.drills.verdict import Verdict
from tocsin.ops.drills.watch import Watch

Write = Callable[..., Path]
Give = Callable[..., Any]


async def until(reached: Callable[[], bool]) -> None:
    """Lets others go on until it is so."""
    while not reached():  # noqa: ASYNC110 - time does not pass here: nobody could set an event at the moment
        await asyncio.sleep(0)


@pytest.fixture
def give(write: Write, target: MemoryTarget, clock: JumpingClock, tmp_path: Path) -> Give:
    """Runs the drill, changed, on the target; `at` is told of each moment as it comes."""

    async def run(
        change: Callable[[dict[str, Any]], None] = lambda _: None, at: Callable[[Moment], None] = print
    ) -> Run:
        with Journal.held(tmp_path) as journal:
            drill = load_drill(write(change))
            journal.begin("store-down", target.name, {}, "now")
            return await Runner(drill, target, journal, clock, at, Watch(drill.alerts, PATH)).run()

    return run


async def test_a_drill_holds_when_the_fault_bites_and_nobody_notices(give: Give, target: MemoryTarget) -> None:
    run = await give()
    assert (run.row.verdict, run.because) == (Verdict.HELD, [])
    assert target.done == ["begin store-down 2", "stop store b", "start store b"]
    assert target.settled
    assert [one.name for one in run.rounds] == ["before", "after"]
    assert run.measured["detect_s"] is not None
    assert run.measured["detect_s"] <= 0.5


async def test_the_report_says_whether_the_alerts_of_the_drill_would_have_come_true(give: Give, tmp_path: Path) -> None:
    run = await give(lambda drill: drill.update(alerts=["TocsinRegionIll", "TocsinPeerSilent", "TocsinPagesLate"]))
    report.write(run, tmp_path, "1")
    told = {one["alert"]: one["in_words"] for one in json.loads((tmp_path / "report.json").read_text())["alerts"]}
    assert told["TocsinRegionIll"] == "true while it lasted"
    assert told["TocsinPeerSilent"] == "never true while it lasted"
    assert told["TocsinPagesLate"].startswith("not judged")
    page = (tmp_path / "report.html").read_text()
    assert all(f"<td>{alert}</td>" in page for alert in told)


async def test_a_steady_state_that_is_broken_beforehand_is_inconclusive_and_nothing_is_injected(
    give: Give, target: MemoryTarget
) -> None:
    target.down.add(("a", "intake"))
    run = await give()
    assert (run.row.name, run.row.verdict) == ("not steady", Verdict.INCONCLUSIVE)
    assert target.done == ["begin store-down 2"]
    assert run.because == ["unready_roles {'region': 'a'}: is 1, expected 0"]


async def test_all_probes_of_a_round_are_recorded_though_the_first_failed(give: Give, target: MemoryTarget) -> None:
    target.down |= {("a", "intake"), ("b", "intake")}
    run = await give()
    assert [reading.held for reading in run.rounds[0].readings] == [False, False, True, True]


async def test_a_fault_that_does_not_bite_is_inconclusive(give: Give, target: MemoryTarget) -> None:
    target.is_deaf_to_faults = True
    run = await give()
    assert (run.row.name, run.row.verdict) == ("no evidence", Verdict.INCONCLUSIVE)
    assert target.done[-1] == "start store b"


async def test_evidence_that_was_there_before_the_fault_proves_nothing(give: Give, target: MemoryTarget) -> None:
    run = await give(lambda drill: drill.update(evidence=[probe("pages_sent", 1, region="a")]))
    assert (run.row.name, run.row.verdict) == ("evidence before", Verdict.INCONCLUSIVE)
    assert target.done == ["begin store-down 2"]


async def test_a_fault_that_cannot_be_injected_is_inconclusive_and_what_was_begun_is_healed(
    give: Give, target: MemoryTarget
) -> None:
    def change(drill: dict[str, Any]) -> None:
        drill["method"].append(action("slow_mirror", source="a", to="b", delay_s=1.0))
        drill["rollbacks"].append(action("heal_mirror", source="a", to="b"))

    run = await give(change)
    assert (run.row.name, run.row.verdict) == ("not injected", Verdict.INCONCLUSIVE)
    assert "nobody can slow the mirror" in run.because[0]
    assert target.done[-1] == "start store b"


async def test_users_who_are_not_served_while_it_lasts_make_it_deviate(give: Give) -> None:
    run = await give(lambda drill: drill["method"].append(probe("intake_status", 503, region="a")))
    assert (run.row.name, run.row.verdict) == ("not served", Verdict.DEVIATED)
    assert run.because == ["intake_status {'region': 'a'}: is 202, expected 503"]


async def test_a_state_that_does_not_come_back_deviates(give: Give, target: MemoryTarget) -> None:
    target.stays_down = True
    run = await give()
    assert (run.row.name, run.row.verdict) == ("not steady again", Verdict.DEVIATED)
    assert run.because == ["unready_roles {'region': 'b'}: is 2, expected 0"]
    assert len(run.rounds) > 2


async def test_a_recovery_that_takes_too_long_deviates_and_is_measured(give: Give, target: MemoryTarget) -> None:
    target.unfinished_s = 8.0
    run = await give()
    assert (run.row.name, run.row.verdict) == ("too slow", Verdict.DEVIATED)
    assert run.measured["converge_s"] == pytest.approx(8.0, abs=1.0)


async def test_regions_that_never_agree_deviate(give: Give, target: MemoryTarget) -> None:
    target.unfinished_s = 1_000.0
    run = await give()
    assert (run.row.name, run.because) == ("no agreement", ["something is missing"])


async def test_a_late_page_deviates(give: Give, target: MemoryTarget) -> None:
    target.pages_after_s = 7.0
    run = await give()
    assert (run.row.name, run.because) == ("too slow", ["page_s: 7.0, the limit is 5"])


async def test_what_users_lost_decides_before_all_else(give: Give, target: MemoryTarget) -> None:
    target.harm = ["a page is lost"]
    target.stays_down = True
    run = await give()
    assert (run.row.name, run.row.verdict, run.because) == ("harm", Verdict.DEVIATED, ["a page is lost"])


async def test_what_could_not_be_judged_is_inconclusive(give: Give, target: MemoryTarget) -> None:
    target.unknown = ["no final read of region a"]
    run = await give()
    assert (run.row.name, run.row.verdict) == ("not judged", Verdict.INCONCLUSIVE)


async def test_an_abort_condition_ends_the_drill_at_once_and_heals(give: Give, target: MemoryTarget) -> None:
    began_s = target.clock.at_s

    def change(drill: dict[str, Any]) -> None:
        drill["method"][0]["pauses"] = {"after": 500}

    task = asyncio.create_task(give(change))
    await until(lambda: target.clock.at_s >= began_s + 2)
    target.overdue = 3
    run = await task
    assert (run.row.name, run.row.verdict) == ("aborted", Verdict.DEVIATED)
    assert run.because == ["pages_overdue {'after_s': 60}: is 3, expected 0"]
    assert target.clock.at_s < began_s + 100
    assert "start store b" in target.done


async def test_an_abort_condition_ends_an_action_that_takes_long(give: Give, target: MemoryTarget) -> None:
    task = asyncio.create_task(
        give(lambda drill: drill["method"].insert(1, action("send_events", region="a", count=100_000)))
    )
    began_s = target.clock.at_s
    await until(lambda: "send a 100000" in target.done)
    target.overdue = 1
    run = await task
    assert run.row.name == "aborted"
    assert target.clock.at_s < began_s + 100
    assert not target.down


async def test_ctrl_c_heals_and_says_that_it_was_interrupted(give: Give, target: MemoryTarget, tmp_path: Path) -> None:
    task = asyncio.create_task(give(lambda drill: drill["method"][0].update(pauses={"after": 500})))
    await until(lambda: bool(target.down))
    task.cancel()
    run = await task
    assert (run.row.name, run.row.verdict) == ("interrupted", Verdict.INCONCLUSIVE)
    assert not target.down
    assert read(tmp_path).ended


async def test_an_error_that_nobody_foresaw_heals_before_it_is_raised(
    give: Give, target: MemoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_region: str) -> int | None:
        raise ZeroDivisionError

    monkeypatch.setattr(target, "status_of_intake", broken)
    with pytest.raises(ZeroDivisionError):
        await give()
    assert target.done[-1] == "start store b"
    assert target.settled


async def test_what_cannot_be_healed_is_told_and_stays_in_the_journal(
    give: Give, target: MemoryTarget, tmp_path: Path
) -> None:
    target.refuses_to_mend = True
    run = await give()
    assert (run.row.name, run.row.verdict) == ("not healed", Verdict.INCONCLUSIVE)
    assert list(read(tmp_path).open.values()) == [Undoing("start_store", {"region": "b"})]
    assert not read(tmp_path).ended


async def test_a_killed_runner_leaves_what_heals_it(give: Give, target: MemoryTarget, tmp_path: Path) -> None:
    """Killed is never healed: the journal is what it was a moment before the fault was injected."""
    seen: list[bytes] = []

    def at(_: Moment) -> None:
        seen.append((tmp_path / FILE).read_bytes())

    await give(at=at)
    target.down.add(("b", "querier"))
    injected = next(raw for raw in seen if b'"fault"' in raw)
    (tmp_path / FILE).write_bytes(injected + b'{"heal')  # killed in the middle of a line
    with Journal.held(tmp_path) as journal:
        assert journal.left.drill == "store-down"
        with pytest.raises(Misconfigured, match=r"store-down was killed.*tocsin drill heal"):
            journal.refuse_if_left()
        assert await heal(target, journal, [], print) == []
    assert not target.down
    assert read(tmp_path).open == {}


async def test_the_journal_is_on_the_disk_before_the_fault_is(
    give: Give, target: MemoryTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    stop = target.stop_store

    async def stop_store(region: str) -> None:
        told.append((tmp_path / FILE).read_text().splitlines()[-1])
        await stop(region)

    monkeypatch.setattr(target, "stop_store", stop_store)
    await give()
    undo = {"func": "start_store", "arguments": {"region": "b"}}
    assert json.loads(told[0]) == {"fault": 0, "func": "stop_store", "undo": undo}


def test_two_runners_never_share_a_journal(tmp_path: Path) -> None:
    with Journal.held(tmp_path), pytest.raises(Owned, match="another drill is running"), Journal.held(tmp_path):
        pass


async def test_the_report_has_the_timeline_and_escapes_what_it_is_told(
    give: Give, target: MemoryTarget, tmp_path: Path
) -> None:
    target.harm = ["<script>alert(1)</script>"]
    run = await give()
    report.write(run, tmp_path / "out", "1.2.3+abc")
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (told["drill"], told["verdict"], told["code"]) == ("store-down", "deviated", "1.2.3+abc")
    assert [one["kind"] for one in told["timeline"]][:2] == ["baseline", "inject"]
    assert told["times"]["recover_s"]["limit"] == 5.0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<circle") == 1
    assert "broken, 5.0 s" in page
    assert "://" not in page
