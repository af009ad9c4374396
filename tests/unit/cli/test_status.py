"""`tocsin status` on what two regions left: what is read where, and what is said where it cannot be."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from tests.documents_made import status
from tests.requests_made import invalid_request, request
from tests.unit.cli.conftest import LOCAL
from tests.unit.cli.premises import Premises
from tests.unit.ops.regions_rows import PARTITIONS
from tocsin.core.budget import Budget
from tocsin.core.events import entry_of
from tocsin.core.failures import Kind
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.engines.store import Document
from tocsin.engines.topics import make_topics
from tocsin.ops.status.signs import SIGNS
from tocsin.topology import load_topology

Run = Callable[..., Result]
S = 1_000_000


@pytest.fixture
def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def ran(premises: Premises, now_us: int) -> Premises:
    """Both regions, whose creators wrote down a moment ago that they are well."""
    premises.make()
    (premises.data_dir / "directory.yaml").write_text("services: []\n", encoding="utf-8")
    for place in load_topology(LOCAL).regions:
        premises.in_log(place.name, lambda log, place=place: make_topics(log, place))
    premises.open(at_us=now_us)
    for region in "ab":
        for partition in range(PARTITIONS):
            document = status(partition, at_us=now_us)
            premises.in_store(region, lambda store, document=document: store.put_document(document))
    return premises


def told(run: Run, *words: str) -> tuple[int, dict[str, Any]]:
    result = run("status", "--json", *words)
    return result.exit_code, json.loads(result.stdout)


def region(said: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in said["facts"]["regions"] if one["name"] == name)


@pytest.mark.parametrize("look", sorted({sign.look for sign in SIGNS}))
def test_every_command_that_it_recommends_exists_with_its_options(run: Run, look: str) -> None:
    _, *words = look.split()
    command = list(itertools.takewhile(lambda word: word[0] not in "-{", words))
    shown = run(*command, "--help")
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in words if word.startswith("--"))


def test_regions_that_are_well_are_told_with_when_that_was(run: Run, ran: Premises, now_us: int) -> None:
    del ran
    code, said = told(run)
    assert (code, said["headline"]) == (0, "all is well in regions a, b")
    for name in "ab":
        assert region(said, name)["condition"]["state"] == "serving"
        assert now_us - S <= region(said, name)["condition"]["at_us"] <= said["at_us"]
        assert region(said, name)["peers"][0]["heard_us"] == now_us
        assert region(said, name)["peers"][0]["behind_s"] == 0


def test_a_store_that_is_away_leaves_what_the_region_said_itself(run: Run, ran: Premises) -> None:
    ran.store_path("b").unlink()
    code, said = told(run)
    b = region(said, "b")
    assert code == 3
    assert (b["condition"]["state"], b["condition"]["source"]) == ("serving", "its heartbeat")
    assert "there is no Tocsin outcome store" in b["away"]["store"]
    assert b["kept"] is None


def test_a_region_of_which_nothing_can_be_read_is_known_by_its_peers_log(run: Run, ran: Premises) -> None:
    ran.store_path("b").unlink()
    ran.log_path("b").unlink()
    assert region(told(run)[1], "b")["condition"]["source"] == "its heartbeat in the log of region a"


def test_of_one_region_only_its_own_store_and_log_are_asked(run: Run, ran: Premises) -> None:
    del ran
    code, said = told(run, "--region", "a")
    assert said["headline"] == "all is well in regions a, b, as far as region a can tell"
    assert code == 0
    assert region(said, "b")["condition"]["source"] == "its heartbeat in the log of region a"
    assert region(said, "a")["peers"][0]["behind_s"] is None
    assert run("status", "--region", "nowhere").exit_code == 1


def test_creators_that_wrote_nothing_for_a_while_are_silent(run: Run, ran: Premises, now_us: int) -> None:
    old = status(1, at_us=now_us - 60 * S)
    ran.store_path("b").unlink()
    ran.in_store("b", lambda store: store.put_document(old))
    code, said = told(run)
    assert region(said, "b")["condition"]["state"] == "silent"
    assert region(said, "b")["condition"]["why"] == [
        "partitions 0, 1, 2, 3"[: len("partitions 0") + 3 * (PARTITIONS - 1)]
    ]
    assert (code, [one["alert"] for one in said["troubles"]]) == (1, ["TocsinRoleDown"])


def test_what_people_said_and_did_is_told_once_each_oldest_first(run: Run, ran: Premises) -> None:
    spent = Document("budget", 7, Budget(("checkout",), spent=True).encode())
    ran.in_store("a", lambda store: store.put_document(spent))
    assert {one["alert"] for one in told(run)[1]["troubles"]} == {"TocsinBudgetSpent"}
    run("quarantine", "release-budget", "--region", "a", "--yes")
    run("region", "drain", "b", "--why", "storm", "--yes")
    run("region", "join", "b", "--yes")
    changes = [one["what"] for one in told(run)[1]["facts"]["changes"]]
    assert changes == [
        "released the budget of region a; counted: checkout",
        "said drained of region b: storm",
        "said joined of region b",
    ]


def test_what_one_command_changed_is_one_line(run: Run, ran: Premises, tmp_path: Path) -> None:
    users = [{"id": f"user-{n}", "name": "X", "email": f"{n}@example.org"} for n in range(30)]
    part = tmp_path / "part.yaml"
    part.write_text(yaml.safe_dump({"services": [], "users": users}), encoding="utf-8")
    applied = run("directory", "apply", str(part), "--yes")
    assert applied.exit_code == 0, applied.stderr
    lines = [one["what"] for one in told(run)[1]["facts"]["changes"]]
    assert sum(int(line.split()[-2]) + 1 for line in lines) == 30  # two lines where the second changed in between
    assert all(line.startswith("added user user-") for line in lines)
    del ran


def test_what_is_kept_is_counted_with_since_when(run: Run, ran: Premises, now_us: int) -> None:
    def kept(stage: Stage, kind: Kind, ago_s: int) -> Kept:
        request = invalid_request(f"{stage}-{kind}")
        decision = Decision(now_us - ago_s * S, "set_aside", "incomplete", "")
        return Kept(request.key, 0, stage, b"", kind, "no", now_us - ago_s * S, 1, 1, (decision,), 1)

    ran.keep(
        "a",
        kept(Stage.ASIDE, Kind.REJECTED, 900),
        kept(Stage.ASIDE, Kind.TOO_NEW, 30),
        kept(Stage.QUARANTINED, Kind.REJECTED, 60),
    )
    code, said = told(run)
    found = region(said, "a")["kept"]
    assert (found["set_aside"], found["too_new"], found["quarantined"], found["held"]) == (2, 1, 1, 0)
    assert found["set_aside_since_us"] == now_us - 900 * S
    assert code == 1
    assert [one["alert"] for one in said["troubles"]] == [
        "TocsinRequestsTooNew",
        "TocsinRequestsSetAside",
        "TocsinRequestsQuarantined",
    ]


def test_a_log_entrys_text_is_shown_without_secrets_or_steering(run: Run, ran: Premises) -> None:
    opening = request("x", summary="token=hunter2 \x1b[31mred")
    ran.in_store("a", lambda store: store.write([entry_of(opening)]))
    text = run("status").stdout
    assert "trigger (checkout, x): token=[redacted]" in text
    assert "hunter2" not in text
    assert "\x1b" not in text
