"""`tocsin send`: to a real intake, and what is said when there is none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.unit.cli.served import ROUTING_KEY, Served
from tocsin.cli.main import app
from tocsin.client import Limits
from tocsin.core.requests import Request

Run = Callable[..., Result]
Serve = Callable[..., list[Served]]
TRIGGER = ("send", "trigger", "--summary", "Disk full", "--dedup-key", "disk/db-1")
NOWHERE = "http://127.0.0.1:9"
"""A port of this machine on which nothing listens."""


def event(request: Request) -> dict[str, Any]:
    return dict(json.loads(request.body))


def line(**changes: Any) -> str:
    payload = {"summary": "Disk full", "source": "db-1", "severity": "error"}
    return json.dumps({"event_action": "trigger", "dedup_key": "disk/db-1", "payload": payload, **changes})


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_a_trigger_is_in_the_log_with_all_that_was_said_and_the_next_command_is_told(run: Run, serve: Serve) -> None:
    (a,) = serve("a", is_read=False)
    result = run(
        *TRIGGER, "--source", "db-1", "--severity", "warning", "--component", "disk", "--client", "cron",
        "--details", '{"free": "2 %"}', "--link", "https://example.org/1", "--link", "https://example.org/2",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    (request,) = a.requests()
    assert event(request) == {
        "event_action": "trigger",
        "dedup_key": "disk/db-1",
        "client": "cron",
        "links": [{"href": "https://example.org/1"}, {"href": "https://example.org/2"}],
        "payload": {
            "summary": "Disk full",
            "source": "db-1",
            "severity": "warning",
            "component": "disk",
            "custom_details": {"free": "2 %"},
        },
    }
    assert result.stdout.splitlines()[0].split() == ["request", request.key.printed]
    assert "taken by   region a, and its log has it" in result.stdout
    assert f"tocsin incidents show {request.key.printed}" in result.stderr
    assert ROUTING_KEY not in result.output


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_acknowledge_and_a_resolve_need_their_key_alone(run: Run, serve: Serve, action: str) -> None:
    (a,) = serve("a", is_read=False)
    result = run("send", action, "--dedup-key", "disk/db-1", "--json")

    (request,) = a.requests()
    assert event(request) == {"event_action": action, "dedup_key": "disk/db-1"}
    told = json.loads(result.stdout)
    assert (told["request"], told["delivered"], told["region"], told["ack"]) == (
        request.key.printed, True, "a", "region",
    )  # fmt: skip


def test_details_may_be_in_a_file(run: Run, serve: Serve, tmp_path: Path) -> None:
    (a,) = serve("a", is_read=False)
    (tmp_path / "details.json").write_text('["one", 2]')
    assert run(*TRIGGER, "--details", f"@{tmp_path}/details.json").exit_code == 0
    assert event(a.requests()[0])["payload"]["custom_details"] == ["one", 2]


@pytest.mark.parametrize(
    "words",
    [
        ("send",),
        ("send", "trigger"),
        ("send", "resolve"),
        ("send", "resolve", "--dedup-key", "k", "--summary", "it is over"),
        ("send", "--file", "-", "--dedup-key", "k"),
        ("send", "trigger", "--summary", "s", "--file", "-"),
        (*TRIGGER, "--details", "{"),
        (*TRIGGER, "--details", "@/nowhere"),
        (*TRIGGER, "--severity", "bad"),
    ],
)
def test_what_makes_no_event_is_wrong_usage_and_nothing_is_sent(run: Run, serve: Serve, words: tuple[str, ...]) -> None:
    (a,) = serve("a", is_read=False)
    assert run(*words).exit_code == 2
    assert a.requests() == []


def test_a_refused_event_ends_with_1_and_says_what_is_wrong_once(run: Run, serve: Serve) -> None:
    (a,) = serve("a", is_read=False)
    result = run("send", "trigger", "--summary", "x" * 1_025)
    assert result.exit_code == 1
    assert result.stderr.count("'payload.summary' is too long") == 1
    assert a.requests() == []


def test_a_wrong_routing_key_is_refused_and_not_shown(run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("a", is_read=False)
    for words, variable in (((*TRIGGER, "--routing-key", "f" * 32), ""), (TRIGGER, "f" * 32)):
        monkeypatch.setenv("TOCSIN_ROUTING_KEY", variable)
        result = run(*words)
        assert result.exit_code == 1
        assert "Invalid routing key" in result.stderr
        assert "it came from --routing-key, else TOCSIN_ROUTING_KEY" in result.stderr
        assert "f" * 32 not in result.output


def test_the_next_region_takes_what_the_first_cannot(run: Run, serve: Serve) -> None:
    a, b = serve("a", "b", is_read=False)
    a.intake_door.kill()
    result = run(*TRIGGER)
    assert result.exit_code == 0
    assert "region b" in result.stdout
    assert len(b.requests()) == 1


def test_without_up_it_says_so_and_what_to_do(run: Run, tmp_path: Path) -> None:
    result = run(*TRIGGER)
    assert result.exit_code == 1
    assert f"{tmp_path}/up.json: is not there, so no region is known to run: start `tocsin up`" in result.stderr
    result = run(*TRIGGER, "--url", NOWHERE)
    assert "no routing key is known: name one with it or --routing-key" in result.stderr


# When no region takes it ---------------------------------------------------------------------------------------------


def test_without_a_spool_what_no_region_takes_ends_with_3(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.cli.send.LIMITS", Limits(patience_s=0.1))
    serve("a", is_read=False)
    result = run(*TRIGGER, "--url", NOWHERE)
    assert result.exit_code == 3
    assert f"no region took the event: {NOWHERE}" in result.stderr


def test_with_a_spool_it_waits_there_and_the_next_command_sends_it_first(run: Run, serve: Serve, spool: Path) -> None:
    (a,) = serve("a", is_read=False)
    first = run(*TRIGGER, "--url", NOWHERE, "--spool", str(spool), "--json")
    assert first.exit_code == 3
    assert json.loads(first.stdout)["delivered"] is False
    assert f"no region took 1 event; kept in {spool}: tocsin send --spool {spool} tries again" in first.stderr
    assert len(list(spool.glob("*.event"))) == 1

    second = run("send", "resolve", "--dedup-key", "disk/db-1", "--spool", str(spool))
    assert second.exit_code == 0
    assert f"1 event that waited in {spool} went out" in second.stderr
    assert [event(request)["event_action"] for request in a.requests()] == ["trigger", "resolve"]
    assert not list(spool.glob("*.event"))


def test_a_spool_is_emptied_without_a_new_event_or_said_not_to_be(run: Run, serve: Serve, spool: Path) -> None:
    (a,) = serve("a", is_read=False)
    run(*TRIGGER, "--url", NOWHERE, "--spool", str(spool))
    assert run("send", "--spool", str(spool)).exit_code == 0
    assert len(a.requests()) == 1


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_files_events_are_sent_and_what_is_refused_is_named_by_its_line(
    run: Run, serve: Serve, tmp_path: Path
) -> None:
    (a,) = serve("a", is_read=False)
    file = tmp_path / "events.jsonl"
    lines = [line(), "", "nonsense", "[]", line(payload=None), line(routing_key="f" * 32), line(dedup_key="other")]
    file.write_text("\n".join(lines))
    result = run("send", "--file", str(file))

    assert result.exit_code == 1
    assert "7 lines read: 2 sent, 0 waiting, 4 refused" in result.stdout
    told = [one.partition(" is refused: ")[0] for one in result.stderr.splitlines()]
    assert told == ["line 3", "line 4", "line 5", "line 6"]
    assert "another service" in result.stderr
    assert "f" * 32 not in result.output
    assert {request.key.parent.dedup_key for request in a.requests()} == {"disk/db-1", "other"}


def test_a_file_as_json_is_a_line_an_event(run: Run, serve: Serve, tmp_path: Path) -> None:
    serve("a", is_read=False)
    (tmp_path / "events.jsonl").write_text(f"{line()}\nnonsense\n")
    first, second = map(json.loads, run("send", "--file", f"{tmp_path}/events.jsonl", "--json").stdout.splitlines())
    assert (first["line"], first["delivered"], first["region"]) == (1, True, "a")
    assert (second["line"], len(second["errors"])) == (2, 1)


def test_stdin_is_a_file_too_and_a_line_without_end_is_passed_over(serve: Serve, run: Run) -> None:
    (a,) = serve("a", is_read=False)
    text = "x" * 3_000_000 + "\n" + line() + "\n"
    result = CliRunner().invoke(app, ["send", "--file", "-"], input=text)
    assert "line 1 is refused: the line is longer than 1,048,576 bytes" in result.stderr
    assert "2 lines read: 1 sent, 0 waiting, 1 refused" in result.stdout
    assert len(a.requests()) == 1


def test_a_file_ends_where_no_region_takes_more_and_says_where_to_go_on(
    run: Run, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.cli.send.LIMITS", Limits(patience_s=0.1))
    serve("a", is_read=False)
    (tmp_path / "events.jsonl").write_text(f"nonsense\n{line()}\n{line()}\n")
    result = run("send", "--file", f"{tmp_path}/events.jsonl", "--url", NOWHERE)
    assert result.exit_code == 3
    assert "0 sent, 0 waiting, 1 refused; nothing from line 2 on was sent, so go on there" in result.stderr


def test_a_file_that_is_not_there_is_said(run: Run, serve: Serve, tmp_path: Path) -> None:
    serve("a", is_read=False)
    result = run("send", "--file", f"{tmp_path}/nothing")
    assert result.exit_code == 1
    assert "cannot be read: No such file or directory" in result.stderr
