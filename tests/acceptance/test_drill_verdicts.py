"""What drills say when something is not as it should be: a planted defect deviates, what shows nothing is no pass."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.drilling import RUN_S_MAX, be_quick, begun, drills, report, tocsin, until
from tocsin.engines.faults import Fault, FaultSwitch, Rule

PLANTED = Path(__file__).parent / "planted"
INCONCLUSIVE = 3
pytestmark = pytest.mark.timeout(RUN_S_MAX + 30)


def failed(told: dict[str, Any]) -> set[str]:
    return {reading["name"] for reading in told["during"] if not reading["held"]}


def injected(told: dict[str, Any]) -> list[str]:
    return [moment["text"] for moment in told["timeline"] if moment["kind"] == "inject"]


def test_a_notifier_that_never_steps_in_for_its_peer_deviates(tmp_path: Path) -> None:
    """It waits for five minutes, in its place as for the silence."""
    drills(tmp_path, "notifier-killed", change=be_quick)
    waits = {"TOCSIN_REGION__PAGING__BACKSTOP_S": "300", "TOCSIN_REGION__PAGING__SILENCE_S": "300"}
    ran = tocsin(tmp_path, "run", "notifier-killed", "--yes", **waits)
    told = report(tmp_path, "notifier-killed")
    assert (ran.returncode, told["verdict"]) == (1, "deviated"), ran.stdout + ran.stderr
    assert failed(told)


def test_a_creator_that_halts_on_the_word_of_a_dead_peer_deviates(tmp_path: Path) -> None:
    """Its core is broken by the `sitecustomize` of the folder; everything else is as it is run."""
    drills(tmp_path, "region-lost-after-refusal", change=be_quick)
    defect = {"PYTHONPATH": str(PLANTED / "halts_for_the_dead")}
    ran = tocsin(tmp_path, "run", "region-lost-after-refusal", "--yes", **defect)
    told = report(tmp_path, "region-lost-after-refusal")
    assert (ran.returncode, told["verdict"]) == (1, "deviated"), ran.stdout + ran.stderr
    assert all(reading["held"] for reading in told["evidence"])
    assert {"region b is ready", "what a stored is set aside in b"} <= failed(told)


def test_a_creator_without_that_defect_holds(tmp_path: Path) -> None:
    """Its limits are a deployment's: by the demo's, on a busy machine, a peer repeats what it has yet to hear of."""
    drills(tmp_path, "region-lost-after-refusal", change=be_quick)
    patience = {"BACKSTOP_S": "10", "SILENCE_S": "5", "STEP_IN_S": "2.5"}
    paging = {f"TOCSIN_REGION__PAGING__{name}": value for name, value in patience.items()}
    ran = tocsin(tmp_path, "run", "region-lost-after-refusal", "--yes", **paging)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert report(tmp_path, "region-lost-after-refusal")["verdict"] == "held"


def test_a_fault_that_does_not_bite_is_inconclusive(tmp_path: Path) -> None:
    """The store refuses the entries of one service, and the event is of another."""

    def miss(drill: dict[str, Any]) -> None:
        sent = drill["method"][1]
        assert sent["provider"]["func"] == "send_spoilt_event"
        sent["provider"].update(func="send_events", arguments={"region": "a", "count": 1})
        sent["pauses"] = {"after": 1}
        drill["limits"]["detect_s"] = 2

    drills(tmp_path, "store-refuses-some", change=miss)
    ran = tocsin(tmp_path, "run", "store-refuses-some", "--yes")
    told = report(tmp_path, "store-refuses-some")
    assert (ran.returncode, told["verdict"]) == (INCONCLUSIVE, "inconclusive"), ran.stdout + ran.stderr
    assert told["row"] == "no evidence"
    assert injected(told)
    assert failed(told) == set()


def test_a_steady_state_that_is_broken_beforehand_is_inconclusive_and_nothing_is_injected(tmp_path: Path) -> None:
    """Somebody has cut a mirror while the drill waited for calm, which is about pages alone."""
    drills(tmp_path, "notifier-killed", change=be_quick)
    running = begun(tmp_path, "run", "notifier-killed", "--yes")
    out = tmp_path / "out"
    until(lambda: "until both regions are calm" in out.read_text() or running.poll() is not None)
    faults = FaultSwitch(tmp_path / "build" / "drills" / ".work" / "data" / "faults.json")
    faults.set_rule(Rule(id="somebody-else", region="b", port="mirror", kind=Fault.CUT, peer="a"))
    assert running.wait(RUN_S_MAX) == INCONCLUSIVE, out.read_text()
    told = report(tmp_path, "notifier-killed")
    assert (told["verdict"], told["row"]) == ("inconclusive", "not steady")
    assert any("what enters at a is read in b" in why for why in told["because"])
    assert injected(told) == []
