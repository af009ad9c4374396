"""`tocsin incidents`: what is shown of them, how complete it says it is, and which region is asked."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.documents_made import drained
from tests.unit.cli.served import NOW_S, Served, entry, id_of, publish
from tests.unit.doors import Door
from tocsin.cli import output
from tocsin.cli.watching import EVERY_S_MAX, EVERY_S_MIN, Watch
from tocsin.core.entries import Entry
from tocsin.core.failures import Kind
from tocsin.core.kept import Kept, Stage
from tocsin.engines.tokens import Scope

Run = Callable[..., Result]
Serve = Callable[..., list[Served]]

DISK = entry("trigger", 7_300)
DISK_ACKNOWLEDGED = entry("acknowledge", 3_700)
LOAD = entry("trigger", 200, dedup_key="load/web-1", severity="warning")
LOAD_RESOLVED = entry("resolve", 100, dedup_key="load/web-1")
CALM = entry("trigger", 60, dedup_key="calm", service="billing", severity="info")


def filled(region: Served) -> Served:
    """The region, with three incidents: acknowledged, resolved, triggered."""
    region.hold(DISK, DISK_ACKNOWLEDGED, LOAD, LOAD_RESOLVED, CALM)
    region.tick(8)
    return region


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    region = Served("a", tmp_path_factory.mktemp("shared") / "a")
    yield filled(region)
    region.close()


@pytest.fixture
def a(shared: Served, tmp_path: Path) -> Served:
    """A region that is looked at, and left as it is."""
    publish(tmp_path / "up.json", shared)
    return shared


@pytest.fixture
def own(serve: Serve) -> Served:
    """One like it, to be changed."""
    (region,) = serve("a")
    return filled(region)


def rows(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def ids(result: Result) -> list[str]:
    return [line.split()[-1] for line in rows(result)[1:]]


# Lists ---------------------------------------------------------------------------------------------------------------


def test_the_open_ones_are_listed_newest_first_and_it_is_said_that_these_are_not_all(run: Run, a: Served) -> None:
    result = run("incidents", "ls")

    heading, calm, disk = rows(result)
    assert heading.split() == [
        "number", "status", "urgency", "service", "title", "opened", "last", "change", "id",
    ]  # fmt: skip
    assert "triggered" in calm
    assert re.search(r" \d+ min ago ", calm), "so long ago as this module was imported, and a minute"
    assert ("acknowledged" in disk, "high" in disk, "Demo" in disk, "2 h ago" in disk, "1 h ago" in disk) == (True,) * 5
    assert disk.endswith(id_of(DISK))
    assert "open incidents (triggered, acknowledged), newest first; --all shows resolved ones too" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected", "said"),
    [
        (("--all",), [CALM, LOAD, DISK], "all incidents"),
        (("--status", "resolved"), [LOAD], "incidents that are resolved"),
        (("--service", "billing"), [CALM], "of service billing"),
        (("--urgency", "high"), [DISK], "of high urgency"),
        (("--all", "--since", "1h"), [CALM, LOAD], "all incidents since 20"),
        (("--all", "--until", output.utc(NOW_S - 90)), [LOAD, DISK], "all incidents until 20"),
        (("--all", "--limit", "1"), [CALM], "there are more: --limit shows them"),
    ],
)
def test_what_is_listed_follows_the_filters_and_is_said_in_words(
    run: Run, a: Served, words: tuple[str, ...], expected: list[Entry], said: str
) -> None:
    result = run("incidents", "ls", *words)
    assert ids(result) == [id_of(one) for one in expected]
    assert said in result.stderr


def test_a_long_list_is_fetched_page_by_page(run: Run, own: Served) -> None:
    own.hold(*(entry("trigger", 1_000 + n, dedup_key=f"many/{n}") for n in range(230)))
    assert len(ids(run("incidents", "ls", "--limit", "10000"))) == 232
    assert len(ids(run("incidents", "ls", "--limit", "150"))) == 150


def test_as_json_a_list_says_how_complete_it_is(run: Run, a: Served) -> None:
    told = json.loads(run("incidents", "ls", "--json").stdout)
    assert [one["id"] for one in told["incidents"]] == [id_of(CALM), id_of(DISK)]
    assert (told["more"], told["region"], told["pending"], told["drained"]) == (False, "a", True, [])
    assert told["complete_until"].endswith("Z")


def test_no_incident_is_said_in_words(run: Run, serve: Serve) -> None:
    serve("a")
    assert rows(run("incidents", "ls")) == ["none"]


def test_a_title_moves_no_cursor(run: Run, own: Served) -> None:
    own.hold(entry("trigger", 5, dedup_key="strange", summary="\x1b[2J\u202egone"))
    result = run("incidents", "ls")
    assert "\\x1b[2J\\u202egone" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("time", ["2x", "yesterday", "99999999999999h", "2026-13-01"])
def test_what_is_no_time_is_wrong_usage(run: Run, a: Served, time: str) -> None:
    result = run("incidents", "ls", "--since", time)
    assert result.exit_code == 2
    assert "is no time" in result.stderr


# How complete --------------------------------------------------------------------------------------------------------


def test_it_is_said_up_to_when_a_list_is_complete(run: Run, a: Served) -> None:
    assert " ago); what came later may be missing" in run("incidents", "ls").stderr


def test_a_region_that_has_not_heard_all_cannot_tell_and_says_so(run: Run, serve: Serve) -> None:
    serve("a")
    assert "region a cannot tell how complete this is" in run("incidents", "ls").stderr


def test_what_is_far_behind_and_what_nobody_vouches_for_is_said(run: Run, serve: Serve) -> None:
    (a,) = serve("a")
    a.tick(600)
    a.hold(documents=(drained("b"),))
    told = run("incidents", "ls").stderr
    assert "and that is long: `tocsin region ls` shows who is silent or halted, `tocsin progress` what holds it" in told
    assert "what drained regions took and did not pass on is missing: b" in told


def test_what_is_set_aside_is_named(run: Run, own: Served) -> None:
    bad = entry("resolve", 30)
    own.hold(kept=(Kept(bad.key, 0, Stage.ASIDE, b"", Kind.REJECTED, "refused", bad.received_us, 1, 1, (), 1),))
    for words in (("ls",), ("show", id_of(DISK))):
        result = run("incidents", *words)
        assert f"could not be stored and is kept aside: {bad.key.printed}; `tocsin ledger explain KEY`" in result.stderr
    assert json.loads(run("incidents", "ls", "--json").stdout)["set_aside"] == [bad.key.printed]


# One -----------------------------------------------------------------------------------------------------------------


def test_one_is_shown_with_its_times_links_and_entries_newest_last(run: Run, a: Served) -> None:
    lines = rows(run("incidents", "show", id_of(DISK)))
    text = "\n".join(lines)
    assert "status       acknowledged" in text
    assert "dedup key    disk/db-1" in text
    assert "links        https://example.org/runbook" in text
    assert any(line.startswith("opened ") and line.endswith("(2 h ago)") for line in lines)
    *_, first, last = lines
    assert ("trigger" in first, "acknowledge" in last) == (True, True)
    assert last.endswith(DISK_ACKNOWLEDGED.key.printed)


def test_one_is_found_by_the_request_key_of_any_of_its_entries(run: Run, a: Served) -> None:
    for one in (DISK, DISK_ACKNOWLEDGED):
        told = json.loads(run("incidents", "show", one.key.printed, "--json").stdout)
        assert told["incident"]["id"] == id_of(DISK)
        assert len(told["log_entries"]) == 2


def test_what_may_be_on_its_way_is_pending_and_what_is_not_is_unknown(run: Run, a: Served) -> None:
    young, old = id_of(entry("trigger", 0)), id_of(entry("trigger", 500))
    pending = run("incidents", "show", young)
    assert (pending.exit_code, f"{young} is pending" in pending.stdout) == (3, True)
    assert json.loads(run("incidents", "show", young, "--json").stdout)["status"] == "pending"
    unknown = run("incidents", "show", old)
    assert (unknown.exit_code, unknown.stdout) == (3, "")
    assert f"{old}: it is in no log that was read so far" in unknown.stderr


def test_what_is_no_id_leads_nowhere_else(run: Run, a: Served) -> None:
    assert run("incidents", "show", "../services?x=").exit_code == 3


# Which region --------------------------------------------------------------------------------------------------------


def test_the_next_region_answers_for_one_that_does_not_and_it_is_said(run: Run, serve: Serve) -> None:
    a, b = serve("a", "b")
    b.hold(DISK)
    a.query_door.kill()
    result = run("incidents", "ls", "--token-file", str(token_file(b)))
    assert ids(result) == [id_of(DISK)]
    assert "region a does not answer: ConnectError" in result.stderr
    assert result.stderr.count("what follows is region b's") == 1


def test_one_region_can_be_asked_alone(run: Run, serve: Serve) -> None:
    a, b = serve("a", "b")
    b.hold(DISK)
    assert rows(run("incidents", "ls", "--region", "a")) == ["none"]
    assert ids(run("incidents", "ls", "--region", "b", "--token-file", str(token_file(b)))) == [id_of(DISK)]
    assert rows(run("incidents", "ls", "--url", a.query_door.url)) == ["none"]
    refused = run("incidents", "ls", "--region", "c")
    assert "--region: no region 'c' is known to run; known: a, b" in refused.stderr


def test_when_no_region_answers_it_ends_with_3_and_says_what_to_do(run: Run, own: Served) -> None:
    own.query_door.kill()
    result = run("incidents", "ls")
    assert result.exit_code == 3
    assert "no region answers: a: ConnectError" in result.stderr
    assert "`tocsin region ls` shows the regions" in result.stderr


def test_without_up_it_says_so(run: Run) -> None:
    result = run("incidents", "ls")
    assert result.exit_code == 1
    assert "up.json: is not there, so no region is known to run: start `tocsin up`" in result.stderr


# By which token ------------------------------------------------------------------------------------------------------


def token_file(of: Served) -> Path:
    path = of.place / "token"
    path.write_text(f"{of.token}\n")
    return path


def test_a_token_is_taken_from_a_file_before_the_variable_and_that_before_what_was_published(
    run: Run, a: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_TOKEN", "wrong")
    refused = run("incidents", "ls")
    assert refused.exit_code == 1
    assert "region a answers 401: no such token" in refused.stderr
    assert "name another with --token-file or TOCSIN_TOKEN" in refused.stderr
    assert run("incidents", "ls", "--token-file", str(token_file(a))).exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"), [("", "holds no token"), ("a b", "holds no token"), ("\xe9", "cannot be")]
)
def test_a_file_without_a_token_is_said_and_not_shown(
    run: Run, a: Served, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "t").write_text(content)
    result = run("incidents", "ls", "--token-file", f"{tmp_path}/t")
    assert (result.exit_code, said in result.stderr) == (1, True)


def test_without_a_token_it_says_where_one_comes_from(run: Run, a: Served, tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"regions": [a.row]}))
    result = run("incidents", "ls")
    assert result.exit_code == 1
    assert "TOCSIN_TOKEN: no token is known" in result.stderr
    assert "`tocsin token create` makes one" in result.stderr


def test_no_output_has_the_token_in_it(run: Run, a: Served) -> None:
    for words in (("ls",), ("ls", "--json"), ("show", id_of(DISK), "--json"), ("show", "0x0")):
        assert a.token not in run("incidents", *words).output


# Acting --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def writing(own: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The same region, and a token that may write."""
    _, token = own.tokens.create("on-call", Scope.WRITE, now_us=NOW_S * 1_000_000)
    monkeypatch.setenv("TOCSIN_TOKEN", token)
    return own


def test_an_acknowledgement_is_asked_for_and_waited_for_until_it_is_seen(run: Run, writing: Served) -> None:
    with writing.storing():
        result = run("incidents", "ack", id_of(CALM), "--note", "on it", "--from", "ann@example.org", "--yes")
    assert result.exit_code == 0, result.stderr
    assert "will do: acknowledge 1 incident as ann@example.org: somebody is at it" in result.stderr
    assert "to undo: it cannot be taken back" in result.stderr
    (request,) = writing.requests()
    (row,) = rows(result)[1:]
    assert row.split()[:3] == [id_of(CALM), "acknowledged", "seen"]
    assert row.endswith(request.key.printed)
    shown = run("incidents", "show", id_of(CALM)).stdout
    assert "Acknowledged by ann@example.org: on it" in shown


def test_several_are_resolved_at_once_and_what_is_over_already_is_said(run: Run, writing: Served) -> None:
    with writing.storing():
        result = run("incidents", "resolve", *map(id_of, (DISK, LOAD, CALM)), "--yes", "--json")
    told = json.loads(result.stdout)
    assert [(one["id"], one["status"], one["seen"]) for one in told] == [
        (id_of(DISK), "resolved", True),
        (id_of(CALM), "resolved", True),
    ]
    assert f"nothing to do for {id_of(LOAD)}" in result.stderr
    assert rows(run("incidents", "ls")) == ["none"]


def test_nothing_is_done_unasked(run: Run, writing: Served) -> None:
    result = run("incidents", "resolve", id_of(DISK))
    assert result.exit_code == 2
    assert id_of(DISK) in result.stderr
    assert "nothing was done: nobody can be asked here" in result.stderr
    assert writing.requests() == []


def test_without_waiting_it_is_said_to_be_on_its_way(run: Run, writing: Served) -> None:
    result = run("incidents", "ack", id_of(CALM), "--yes", "--no-wait")
    (request,) = writing.requests()
    (row,) = rows(result)[1:]
    assert row.split()[:5] == [id_of(CALM), "triggered", "on", "its", "way"]
    assert row.endswith(request.key.printed)


def test_what_is_not_seen_in_time_ends_with_3_and_is_not_called_done(
    run: Run, writing: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.cli.acting.SEEN_S_MAX", 0.4)
    result = run("incidents", "ack", id_of(CALM), "--yes")
    assert result.exit_code == 3
    assert f"Look again: tocsin incidents show {id_of(CALM)}" in result.stderr
    assert "on its way" in result.stdout


def test_an_act_that_is_set_aside_is_not_waited_for(run: Run, writing: Served) -> None:
    def set_aside() -> None:
        while not (found := writing.requests()):
            time.sleep(0.02)
        key = found[0].key
        writing.hold(kept=(Kept(key, 0, Stage.ASIDE, b"", Kind.REJECTED, "refused", 1, 1, 1, (), 1),))

    thread = threading.Thread(target=set_aside)
    thread.start()
    result = run("incidents", "ack", id_of(CALM), "--yes")
    thread.join()
    assert result.exit_code == 1
    (request,) = writing.requests()
    assert f"{request.key.printed} could not be stored and is kept aside: tocsin ledger explain" in result.stderr


def test_a_token_that_only_reads_is_told_so_and_what_to_do(run: Run, a: Served) -> None:
    result = run("incidents", "ack", id_of(CALM), "--yes")
    assert result.exit_code == 1
    assert "the token's scope is read; this needs write" in result.stderr
    assert "`tocsin token create --scope write` makes one that may" in result.stderr
    assert a.requests() == []


def test_what_the_region_refuses_of_one_does_not_keep_the_others_from_it(run: Run, writing: Served) -> None:
    result = run("incidents", "ack", id_of(CALM), "--yes", "--no-wait", "--from", "nobody")
    assert result.exit_code == 1
    assert f"{id_of(CALM)}: header From: must be an email address" in result.stderr


def test_one_that_may_be_on_its_way_cannot_be_acted_on_yet(run: Run, writing: Served) -> None:
    result = run("incidents", "ack", id_of(entry("trigger", 0)), "--yes")
    assert result.exit_code == 3
    assert "nothing was done; try again in a moment" in result.stderr


# Watching ------------------------------------------------------------------------------------------------------------


def watched(env: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "tocsin", "incidents", "watch", *words]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_watch_tells_what_is_open_then_each_change_and_ends_clean(run: Run, own: Served) -> None:
    watching = watched(dict(os.environ), "--json")
    assert watching.stdout is not None
    lines = (json.loads(line) for line in watching.stdout)
    told = [next(lines), next(lines)]
    assert [(one["change"], one["incident"]["id"]) for one in told] == [("open", id_of(DISK)), ("open", id_of(CALM))]

    new = entry("trigger", 1, dedup_key="new")
    own.hold(new)
    assert (one := next(lines))["incident"]["id"] == id_of(new)
    assert one["change"] == "triggered"
    own.hold(entry("resolve", 0))
    assert (one := next(lines))["incident"]["id"] == id_of(DISK)
    assert one["change"] == "resolved"

    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=20)
    assert watching.returncode == 0
    assert "stopped; 4 lines shown" in errors
    assert "Traceback" not in errors


def test_a_watch_outlives_a_time_without_any_region(run: Run, serve: Serve) -> None:
    (a,) = serve("a")
    a.hold(DISK)
    watching = watched(dict(os.environ))
    assert watching.stdout is not None
    assert watching.stderr is not None
    assert id_of(DISK) in next(watching.stdout)
    port = a.query_door.port
    a.query_door.kill()
    assert any("looking on" in line for line in iter(watching.stderr.readline, ""))
    again = Door(a.querier.app(), port=port)
    try:
        assert any("region a answers again" in line for line in iter(watching.stderr.readline, ""))
    finally:
        again.kill()
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=20)
    assert watching.returncode == 0


def seen(id: str, status: str = "triggered", updated_at: str = "1", triggers: int = 1) -> dict[str, Any]:
    return {"id": id, "status": status, "updated_at": updated_at, "tocsin": {"triggers": triggers}}


def test_what_changed_between_two_looks_is_named() -> None:
    watch = Watch()
    assert watch.look([seen("a"), seen("b", updated_at="0")]) == (
        [("open", seen("b", updated_at="0")), ("open", seen("a"))], []
    )  # fmt: skip
    changes, gone = watch.look([seen("a", "acknowledged"), seen("c")])
    assert [(change.what, change.incident["id"]) for change in changes] == [("acknowledged", "a"), ("triggered", "c")]
    assert gone == ["b"]
    changes, gone = watch.look([seen("a", "acknowledged", "2"), seen("c", "triggered", "2", 2)])
    assert [change.what for change in changes] == ["changed", "triggered again"]
    assert gone == []


def test_looks_are_close_together_while_something_changes_and_far_apart_when_not() -> None:
    watch = Watch()
    rhythm = []
    for found in ([seen("a")], *[[seen("a")]] * 20, [seen("a", "acknowledged")], [seen("a", "acknowledged")]):
        watch.look(found)
        rhythm.append(watch.every_s)
    assert rhythm[0] == rhythm[21] == EVERY_S_MIN
    assert rhythm[1:21] == sorted(rhythm[1:21])
    assert rhythm[20] == EVERY_S_MAX
    assert rhythm[22] > EVERY_S_MIN
