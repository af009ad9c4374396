"""`tocsin entries`: what was recorded, with nothing in it that looks like a secret."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.cli.served import NOW_S, Served, entry, id_of, publish
from tocsin.cli import output
from tocsin.cli.entries import redacted

Run = Callable[..., Result]

OLD = entry("trigger", 7_300, dedup_key="old")
DISK = entry("trigger", 400, custom_details={"free": "2 %", "db": {"password": "hunter2"}, "log": "token=abc next"})
ACKNOWLEDGED = entry("acknowledge", 300)
STRAY = entry("resolve", 200, dedup_key="stray")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    region = Served("a", tmp_path_factory.mktemp("shared") / "a")
    region.hold(OLD, DISK, ACKNOWLEDGED, STRAY)
    region.tick(8)
    yield region
    region.close()


@pytest.fixture
def a(shared: Served, tmp_path: Path) -> Served:
    publish(tmp_path / "up.json", shared)
    return shared


def keys(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [line.split()[-1] for line in result.stdout.splitlines()[1:]]


def test_all_entries_are_listed_newest_last_those_without_an_incident_too(run: Run, a: Served) -> None:
    result = run("entries", "ls")
    assert keys(result) == [one.key.printed for one in (OLD, DISK, ACKNOWLEDGED, STRAY)]
    assert "the newest 4 entries of all incidents, newest last" in result.stderr
    assert id_of(DISK) in result.stdout.splitlines()[3]
    assert "none" in result.stdout.splitlines()[4]


def test_entries_of_one_incident_or_of_a_time_are_listed(run: Run, a: Served) -> None:
    assert keys(run("entries", "ls", id_of(DISK))) == [DISK.key.printed, ACKNOWLEDGED.key.printed]
    assert keys(run("entries", "ls", "--since", "1h", "--until", output.utc(NOW_S - 250))) == [
        DISK.key.printed, ACKNOWLEDGED.key.printed,
    ]  # fmt: skip
    some = run("entries", "ls", "--limit", "1")
    assert keys(some) == [STRAY.key.printed]
    assert "the newest 1 entry of all incidents, newest last; there are more: --limit shows them" in some.stderr


def test_as_json_a_list_is_whole_and_says_how_complete_it_is(run: Run, a: Served) -> None:
    told = json.loads(run("entries", "ls", "--json").stdout)
    assert [one["id"] for one in told["log_entries"]] == [one.key.printed for one in (STRAY, ACKNOWLEDGED, DISK, OLD)]
    assert (told["more"], told["region"], told["pending"]) == (False, "a", True)
    assert "hunter2" not in json.dumps(told)


def test_one_entry_is_shown_with_all_that_was_sent_but_secrets(run: Run, a: Served) -> None:
    for id in (DISK.key.printed, id_of(DISK)):
        result = run("entries", "show", id)
        assert result.exit_code == 0, result.stderr
        fields, _, sent = result.stdout.partition("sent:\n")
        assert DISK.key.printed in fields
        assert id_of(DISK) in fields
        event = json.loads(sent)
        assert event["payload"]["custom_details"] == {
            "free": "2 %",
            "db": {"password": "[redacted]"},
            "log": "token=[redacted] next",
        }
    shown = json.loads(run("entries", "show", DISK.key.printed, "--json").stdout)
    assert shown["log_entry"]["id"] == DISK.key.printed
    assert "hunter2" not in json.dumps(shown)


def test_what_may_be_on_its_way_is_pending_and_what_is_not_is_unknown(run: Run, a: Served) -> None:
    young = id_of(entry("trigger", 0))
    for words in (("show", young), ("ls", young)):
        pending = run("entries", *words)
        assert (pending.exit_code, f"{young} is pending" in pending.stdout) == (3, True)
    unknown = run("entries", "show", id_of(entry("trigger", 500)))
    assert (unknown.exit_code, "in no log that was read so far" in unknown.stderr) == (3, True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"api_key": "x", "apiKey": "x", "X-Auth-Token": "x"}, dict.fromkeys(("api_key", "apiKey", "X-Auth-Token"))),
        ({"db_password": 7, "passed": 3}, {"db_password": None, "passed": 3}),
        ({"secrets": {"a": ["b"]}, "secret": None, "has_token": True}, ...),
        ("tocsin_" + "0" * 16 + "_" + "f" * 64, None),
        ("PASSWORD: 'a b' rest", "PASSWORD: [redacted] rest"),
        ('{"token": "a b"}', '{"token": [redacted]}'),
        ("the password was changed", ...),
    ],
)
def test_what_looks_like_a_secret_is_not_shown_and_all_else_is(value: Any, shown: Any) -> None:
    def filled(wanted: Any) -> Any:
        if isinstance(wanted, dict):
            return {name: filled(one) for name, one in wanted.items()}
        return "[redacted]" if wanted is None else wanted

    assert redacted(value) == (value if shown is ... else filled(shown))
