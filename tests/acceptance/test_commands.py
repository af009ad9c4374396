"""What a person does by hand against `tocsin up`: sends, looks in the other region, acts, and follows what changes."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import REPOSITORY, tocsin, until, until_ready

SEEN_S_MAX = 15.0


def told(env: Mapping[str, str], *words: str) -> Any:
    return json.loads(tocsin(env, *words, "--json"))


def incident_in(env: Mapping[str, str], region: str, key: str) -> dict[str, Any] | None:
    found = told(env, "incidents", "ls", "--region", region, "--all")["incidents"]
    return next((one for one in found if one["incident_key"] == key), None)


def test_an_incident_is_sent_seen_acknowledged_resolved_and_watched_by_commands_alone(
    up: subprocess.Popen[str], env: dict[str, str], tmp_path: Path
) -> None:
    until_ready(up, env, tmp_path)
    watching = subprocess.Popen(
        [sys.executable, "-u", "-m", "tocsin", "incidents", "watch", "--json"],
        cwd=REPOSITORY,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sent = told(env, "send", "trigger", "--summary", "Disk full on db-1", "--dedup-key", "disk/db-1")
        assert (sent["delivered"], sent["region"]) == (True, "a")
        incident = until("it in region b", lambda: incident_in(env, "b", "disk/db-1"), SEEN_S_MAX)
        assert (incident["id"], incident["status"]) == (sent["id"], "triggered")

        writing = env | {"TOCSIN_TOKEN": told(env, "token", "create", "--scope", "write")["token"]}
        who = ("--from", "ann@example.org", "--yes")
        (done,) = told(writing, "incidents", "ack", sent["request"], "--note", "making room", *who)
        assert (done["id"], done["status"], done["seen"]) == (sent["id"], "acknowledged", True)
        (done,) = told(writing, "incidents", "resolve", sent["id"], "--region", "b", *who)
        assert (done["status"], done["seen"]) == ("resolved", True)

        def entries_in_a() -> list[dict[str, Any]] | None:
            rows: list[dict[str, Any]] = told(env, "entries", "ls", sent["id"], "--region", "a")["log_entries"]
            found = [row for row in rows if row["type"] != "notify_log_entry"]  # there, if somebody was paged in time
            return found if len(found) == 3 else None

        resolved, acknowledged, triggered = until("all three in region a", entries_in_a, SEEN_S_MAX)
        assert resolved["tocsin"]["region"] == "b"
        assert acknowledged["note"] == "making room"
        assert triggered["id"] == sent["request"]
        shown = told(env, "entries", "show", acknowledged["id"])["log_entry"]
        assert shown["agent"]["summary"] == "ann@example.org"

        assert watching.stdout is not None
        lines = (json.loads(line)["change"] for line in watching.stdout)
        assert next(lines) in {"open", "triggered"}
        later = next(line for line in lines if line != "changed")  # that is the end of a page
        assert later in {"acknowledged", "resolved"}
    finally:
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=20)
    assert (watching.returncode, "stopped" in errors) == (0, True)
