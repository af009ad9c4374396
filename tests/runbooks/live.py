"""Two regions that run, and that are put into the states of which runbooks show samples: by the fault switch, and by
stopping processes. A state is left before the next is entered, and what was said of requests in it stays.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from tests.acceptance.conftest import children_of, environment, running_up, until_ready
from tocsin.cli.main import app
from tocsin.engines.faults import Fault, FaultSwitch, Rule

LIMITS = {"grace_s": 3, "ask_limit_s": 4, "answer_deadline_s": 6, "aside_retry_max_s": 5}
"""So fast that a state is reached soon."""
LONG_LINE = "300"


class Live:
    """The two regions, and the state that they are in."""

    def __init__(self, folder: Path, env: dict[str, str], running: subprocess.Popen[str]) -> None:
        self._env = env
        self._up = running
        self._folder = folder
        self._switch = FaultSwitch(folder / "data" / "faults.json")
        self._stopped: list[int] = []
        self._state = ""
        self.told = {"USER": "on-call", "SERVICE": "demo"}
        """Placeholder of a runbook to what it is here."""

    # Commands --------------------------------------------------------------------------------------------------------

    def run(self, line: str) -> tuple[int, list[str], str]:
        """Exit status, the lines of stdout, and stderr, of a command line of a runbook."""
        words = [self.told.get(word, word) for word in line.split()[1:]]
        ended = CliRunner().invoke(app, words, env={**self._env, "COLUMNS": LONG_LINE})
        return ended.exit_code, ended.stdout.splitlines(), ended.stderr

    def send(self, dedup_key: str, **env: str) -> dict[str, Any]:
        """Sends an event; what the intake said."""
        words = [
            "send",
            "trigger",
            "--summary",
            "Disk full on db-1",
            "--source",
            "db-1",
            "--severity",
            "critical",
            "--json",
        ]
        sent = CliRunner().invoke(app, [*words, "--dedup-key", dedup_key], env=self._env | env)
        assert sent.exit_code == 0, sent.output
        return dict(json.loads(sent.stdout))

    def series(self) -> dict[str, list[dict[str, str]]]:
        """Metric to the labels of all its series, of every process that shows some."""
        found: dict[str, list[dict[str, str]]] = {}
        regions = json.loads(Path(self._env["TOCSIN_UP_FILE"]).read_bytes())["regions"]
        for url in (url for region in regions for url in region["admin_urls"].values() if url):
            for family in text_string_to_metric_families(httpx2.get(f"{url}/metrics").text):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append(sample.labels)
        return found

    # States ----------------------------------------------------------------------------------------------------------

    def enter(self, state: str) -> None:
        """Leaves the state of before and enters this one; the empty one is that nothing is wrong."""
        if state == self._state:
            return
        self._leave()
        self._state = state
        if state:
            STATES[state](self)

    def _leave(self) -> None:
        self._switch.clear_all()
        for pid in self._stopped:
            os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def breaks(self, region: str, kind: Fault, port: Any = "store", **more: Any) -> None:
        """Sets a rule of the fault switch."""
        self._switch.set_rule(Rule(id=f"{region}-{port}-{kind}", region=region, port=port, kind=kind, **more))

    def asks_about(self, dedup_key: str) -> None:
        """Sends an event that is to fail, and from now on KEY stands for its request."""
        time.sleep(0.2)  # until every process knows the rules
        self.told["KEY"] = self.send(dedup_key)["request"]

    def stop(self, *roles: str, region: str) -> None:
        """Stops processes where they are, until the state is left."""
        for pid, words in children_of(self._up.pid).items():
            if words[2:4] == ["tocsin", "run"] and words[4] in roles and words[6] == region:
                os.kill(pid, signal.SIGSTOP)
                self._stopped.append(pid)
        assert self._stopped

    def routing_keys(self) -> list[str]:
        """One of each service."""
        directory = yaml.safe_load((self._folder / "data" / "directory.yaml").read_text(encoding="utf-8"))
        return [service["routing_keys"][0] for service in directory["services"]]


def _halted(live: Live) -> None:
    live.breaks("b", Fault.REFUSE, dedup_key="halts")
    live.asks_about("halts/1")


def _ill(live: Live) -> None:
    live.breaks("b", Fault.UNAVAILABLE)
    live.send("ill/1")


def _down(live: Live) -> None:
    live.stop("notifier", region="b")


def _silent(live: Live) -> None:
    live.stop("intake", "creator", "querier", "notifier", "mirror", region="b")


def _cut(live: Live) -> None:
    live.breaks("a", Fault.CUT, "mirror", peer="b")
    live.breaks("b", Fault.CUT, "mirror", peer="a")


def _aside(live: Live) -> None:
    _cut(live)
    for region in ("a", "b"):
        live.breaks(region, Fault.REFUSE, dedup_key="aside")
    live.asks_about("aside/1")


def _quarantined(live: Live) -> None:
    for region in ("a", "b"):
        live.breaks(region, Fault.REFUSE, dedup_key="poison")
    live.asks_about("poison/1")


def _crashed(live: Live) -> None:
    for region in ("a", "b"):
        live.breaks(region, Fault.CRASH, dedup_key="crash")
    live.asks_about("crash/1")


def _budget(live: Live) -> None:
    for region in ("a", "b"):
        live.breaks(region, Fault.REFUSE, dedup_key="bad")
    time.sleep(0.2)
    for number, key in enumerate(live.routing_keys()):
        live.send(f"bad/{number}", TOCSIN_ROUTING_KEY=key)


STATES: dict[str, Callable[[Live], None]] = {
    "down": _down,
    "halted": _halted,
    "ill": _ill,
    "silent": _silent,
    "cut": _cut,
    "aside": _aside,
    "quarantined": _quarantined,
    "crashed": _crashed,
    "budget": _budget,
}
"""In this order, so that what one leaves behind is not in the way of the next."""


@contextmanager
def live(folder: Path) -> Iterator[Live]:
    """Two regions with an incident of which somebody was told."""
    env = environment(folder) | {
        "TOCSIN_FAULTS_FILE": "faults.json",
        "TOCSIN_REGION__LIMITS": json.dumps(LIMITS),
    }
    with running_up(env, folder) as running:
        until_ready(running, env, folder)
        regions = Live(folder, env, running)
        answer = regions.send("disk/db-1")
        regions.told |= {"KEY": answer["request"], "INCIDENT": answer["id"]}
        try:
            yield regions
        finally:
            regions.enter("")
