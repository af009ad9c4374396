"""`tocsin store migrate` and `status` on a real node, as a person uses them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests import servers
from tests.contract.cassandra_stacks import stack_at
from tocsin.cli.main import app
from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.versions import versions

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `tocsin` on two regions, whose stores are keyspaces of one node that are not made yet."""
    contact, word = servers.cassandra_contact(), servers.unique("command")
    stacks = {name: stack_at(*contact, f"{word}_{name}") for name in ("a", "b")}
    for name, stack in stacks.items():
        region = yaml.safe_load((Path(__file__).parents[2] / "regions" / "local" / f"{name}.yaml").read_text())
        region["stacks"] = {"blue": stack.model_dump(mode="json", exclude_none=True)}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(region))
    monkeypatch.setenv("TOCSIN_REGIONS_DIR", str(tmp_path))
    yield lambda *words: CliRunner().invoke(app, list(words), prog_name="tocsin")
    driver = connect(stacks["a"], tmp_path, request_s=20)
    for stack in stacks.values():
        driver.execute(f"DROP KEYSPACE IF EXISTS {stack.keyspace}", timeout=20)
    driver.cluster.shutdown()


def states(answer: Result) -> dict[str, str]:
    return {row["region"]: row["state"] for row in json.loads(answer.stdout)}


def test_stores_are_made_after_it_is_shown_what_will_be_done_and_nothing_is_done_twice(run: Run) -> None:
    before = run("store", "status", "--json")
    assert (before.exit_code, states(before)) == (1, {"a": "missing", "b": "missing"})

    unasked = run("store", "migrate", "--region", "a")
    assert unasked.exit_code == 2
    assert "CREATE KEYSPACE" in unasked.stderr
    assert str(versions()[0]) in unasked.stderr
    assert "to undo: DROP KEYSPACE" in unasked.stderr
    assert states(run("store", "status", "--json"))["a"] == "missing"

    one = run("store", "migrate", "--region", "a", "--yes", "--json")
    assert (one.exit_code, states(one)) == (0, {"a": "current"})
    status = run("store", "status")
    assert status.exit_code == 1
    assert "run `tocsin store migrate` --region b" in status.stdout

    both = run("store", "migrate", "--yes", "--json")
    assert (both.exit_code, states(both)) == (0, {"a": "current", "b": "current"})
    assert "b/blue: version 0001" in both.stderr
    assert "a/blue: version" not in both.stderr
    again = run("store", "migrate", "--yes")
    assert (again.exit_code, "nothing was to do" in again.stderr) == (0, True)
    assert run("store", "status").exit_code == 0
