"""`tocsin store`: what there is to migrate without a server, and what is said of one that does not answer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local regions, whose stores are on a Cassandra that is not there."""
    stack = {"engine": "cassandra", "contact_points": ["127.0.0.1:1"], "local_dc": "dc", "keyspace": "outcomes_"}
    for name, peer in ("a", "b"), ("b", "a"):
        region = yaml.safe_load((Path(__file__).parents[3] / "regions" / "local" / f"{name}.yaml").read_text())
        region["stacks"] = {"blue": stack | {"keyspace": f"outcomes_{name}"}}
        assert region["peers"][0]["name"] == peer
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(region))
    monkeypatch.setenv("TOCSIN_REGIONS_DIR", str(tmp_path))


def test_embedded_stores_need_no_migration(run: Run) -> None:
    migrated = run("store", "migrate")
    assert (migrated.exit_code, "embedded ones make their own schema" in migrated.stderr) == (0, True)
    assert json.loads(run("store", "status", "--json").stdout) == []


def test_a_store_that_does_not_answer_is_unknown_and_named(run: Run, nobody_listens: None) -> None:
    status = run("store", "status", "--region", "b", "--json")
    (row,) = json.loads(status.stdout)
    assert status.exit_code == 3
    assert (row["region"], row["stack"], row["keyspace"], row["state"]) == ("b", "blue", "outcomes_b", "unknown")
    assert "reachable at contact_points" in row["why"]


def test_what_cannot_be_asked_is_not_migrated(run: Run, nobody_listens: None) -> None:
    answer = run("store", "migrate", "--yes")
    assert answer.exit_code == 3
    assert "reachable at contact_points" in answer.stderr


def test_a_stack_that_is_nowhere_is_named_beside_those_there_are(run: Run) -> None:
    answer = run("store", "status", "--stack", "green")
    assert answer.exit_code == 1
    assert "no region here has a stack 'green'; known: blue" in answer.stderr
