"""A drill in a file, a target in memory, and a runner over both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ops.drills.memory import JumpingClock, MemoryTarget

LOCAL = Path(__file__).parents[4] / "regions" / "local"
Change = Callable[[dict[str, Any]], None]


def probe(func: str, tolerance: Any, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "tocsin", "func": func, "arguments": arguments}
    return {"name": f"{func} {arguments}", "type": "probe", "provider": provider, "tolerance": tolerance}


def action(func: str, after: float = 0, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "tocsin", "func": func, "arguments": arguments}
    return {"name": func, "type": "action", "provider": provider, "pauses": {"after": after}}


def content() -> dict[str, Any]:
    """A drill that holds: the store of b is down for five seconds."""
    return {
        "title": "The store of b is down",
        "description": "It is.",
        "tags": ["store"],
        "configuration": {"region": "b"},
        "controls": [{"name": "load", "events_per_s": 2}],
        "steady-state-hypothesis": {
            "title": "Users notice nothing",
            "probes": [
                probe("unready_roles", 0, region="a"),
                probe("unready_roles", 0, region="b"),
                probe("paged_after_s", {"type": "range", "range": [0, 10]}, at="a"),
            ],
        },
        "method": [action("stop_store", after=5, region="${region}"), probe("intake_status", 202, region="a")],
        "rollbacks": [action("start_store", region="b")],
        "evidence": [probe("role_ready", tolerance=False, region="b", role="querier")],
        "aborts": [probe("pages_overdue", 0, after_s=60)],
        "limits": {"detect_s": 2, "page_s": 5, "recover_s": 5, "converge_s": 5},
        "runbook": "TocsinRegionIll",
        "alerts": ["TocsinRegionIll"],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the drill, changed, and returns its file."""

    def write_it(change: Change = lambda _: None) -> Path:
        drill = content()
        change(drill)
        path = tmp_path / "store-down.yaml"
        path.write_text(yaml.safe_dump(drill, sort_keys=False))
        return path

    return write_it


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def target(clock: JumpingClock) -> MemoryTarget:
    return MemoryTarget(clock)
