"""`tocsin history check`: its words, its JSON and its exit status."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import Result

from tests.unit.ops.history.made import Made, name
from tocsin.ops.history.format import FORMAT, Header

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def write(path: Path, made: Made) -> Path:
    """Writes a made-up history as a recorder would."""
    lines = [Header(FORMAT, made.regions), *made.lines]
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def good() -> Made:
    made = Made()
    made.send(name(1))
    return made.end(name(1))


def bad() -> Made:
    made = Made()
    made.send(name(1))
    made.send(name(2))
    return made.end(name(1))


def test_a_valid_history_ends_with_0(run: Run, path: Path) -> None:
    result = run("history", "check", str(write(path, good())))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("valid; 1 request acknowledged")


def test_an_invalid_history_ends_with_1_and_names_each_anomaly(run: Run, path: Path) -> None:
    result = run("history", "check", str(write(path, bad())), "--limit", "1")
    assert result.exit_code == 1
    assert f"lost: {name(2)} in a: acknowledged by a (op 1 at " in result.stdout
    assert "and 1 more that are not shown" in result.stdout
    assert "\ninvalid: 2 lost; 2 requests acknowledged" in result.stdout


def test_an_open_question_ends_with_3(run: Run, path: Path) -> None:
    made = Made()
    made.send(name(1))
    result = run("history", "check", str(write(path, made)))
    assert result.exit_code == 3
    assert "not known: there is no final read of region b" in result.stdout


def test_the_whole_judgement_is_given_as_json(run: Run, path: Path) -> None:
    result = run("history", "check", str(write(path, bad())), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["verdict"], told["acknowledged"]) == (1, "invalid", 2)
    assert told["counts"] == {"lost": 2, "skipped": 0, "diverged": 0, "rewritten": 0, "late": 0}
    assert [each["region"] for each in told["anomalies"]] == ["a", "b"]
    assert told["calls"]["send"] == {"ok": 2, "fail": 0, "info": 0}


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_cannot_be_read_ends_with_1_and_says_why(run: Run, path: Path, *, there: bool) -> None:
    if there:
        path.write_bytes(
            msgspec.json.encode(Header(FORMAT, ("a",))) + b'\n{"type":"fail","op":0,"at_us":1,"reason":""}\n'
        )
    result = run("history", "check", str(path))
    assert result.exit_code == 1
    assert ("line 2: operation 0 was never invoked" if there else "No such file") in result.stderr
