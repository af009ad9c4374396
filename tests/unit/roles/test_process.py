"""What every role process has: health, addresses that are announced, a stop in good order."""

import asyncio
import dataclasses
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.roles import health, process
from tocsin.roles.asgi import App, Receive, Scope, Send
from tocsin.roles.health import Health
from tocsin.roles.process import Frame, Service
from tocsin.settings import Settings
from tocsin.telemetry import Counter, Identity, Meters

REGIONS = Path(__file__).parents[3] / "regions" / "local"
Unready = Callable[[], Awaitable[list[str]]]


@pytest.fixture
def meters() -> Meters:
    return Meters(Identity("a", "blue", "intake"))


async def no_reason() -> list[str]:
    return []


async def get(
    meters: Meters, path: str, unready: Unready = no_reason, *, stopping: bool = False, client: str = "127.0.0.1"
) -> httpx2.Response:
    event = asyncio.Event()
    if stopping:
        event.set()
    return await ask(Health("intake", unready, event, meters), path, client=client)


async def ask(
    app: App,
    path: str,
    *,
    method: str = "GET",
    client: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app, client=(client, 1234))
    async with httpx2.AsyncClient(transport=transport, base_url="http://admin") as http:
        return await http.request(method, path, headers=headers)


# Health --------------------------------------------------------------------------------------------------------------


async def test_a_role_without_a_reason_against_it_is_ready(meters: Meters) -> None:
    answer = await get(meters, "/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"role": "intake", "ready": True, "reasons": []})


async def test_every_reason_against_it_is_told(meters: Meters) -> None:
    async def unready() -> list[str]:
        return ["region a is drained", "the store does not answer"]

    answer = await get(meters, "/health/ready", unready)
    assert answer.status_code == 503
    assert answer.json() == {
        "role": "intake",
        "ready": False,
        "reasons": ["region a is drained", "the store does not answer"],
    }


async def test_an_engine_that_fails_the_check_is_a_reason(meters: Meters) -> None:
    async def unready() -> list[str]:
        raise Unavailable("the log is away")

    assert (await get(meters, "/health/ready", unready)).json()["reasons"] == ["the log is away"]


async def test_a_check_without_an_answer_is_a_reason_within_bounds(
    meters: Meters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_S_MAX", 0.05)

    async def unready() -> list[str]:
        await asyncio.Event().wait()
        return []

    answer = await get(meters, "/health/ready", unready)
    assert answer.status_code == 503
    assert "no answer within" in answer.json()["reasons"][0]


async def test_a_role_that_stops_is_not_ready(meters: Meters) -> None:
    answer = await get(meters, "/health/ready", stopping=True)
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["it is stopping"])


async def test_to_be_alive_asks_no_engine_and_repeats_what_was_last_found(meters: Meters) -> None:
    asked = 0

    async def unready() -> list[str]:
        nonlocal asked
        asked += 1
        return ["halted"]

    app = Health("creator", unready, asyncio.Event(), meters)
    first = await ask(app, "/health/live")
    assert (first.status_code, first.json()["ready"], asked) == (200, False, 0)
    await ask(app, "/health/ready")
    second = await ask(app, "/health/live")
    assert (second.status_code, second.json()["reasons"], asked) == (200, ["halted"], 1)


async def test_metrics_are_for_this_machine_alone(meters: Meters) -> None:
    meters.add(Counter.ACCEPTED, 3)
    near, far = await get(meters, "/metrics"), await get(meters, "/metrics", client="10.1.2.3")
    assert 'tocsin_intake_accepted_total{region="a",role="intake",stack="blue"} 3.0' in near.text.splitlines()
    assert far.status_code == 403
    assert (await get(meters, "/health/ready", client="10.1.2.3")).status_code == 200


@pytest.mark.parametrize("client", ["127.0.0.1", "10.1.2.3"])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Bearer s3cre", 401),
        ("Bearer ", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        (None, 401),
    ],
)
async def test_with_a_metrics_token_metrics_are_for_whoever_has_it(
    meters: Meters, client: str, given: str | None, status: int
) -> None:
    app = Health("intake", no_reason, asyncio.Event(), meters, "s3cret")
    headers = {} if given is None else {"Authorization": given}
    answer = await ask(app, "/metrics", client=client, headers=headers)
    assert (answer.status_code, "s3cret" in answer.text) == (status, False)
    assert (await ask(app, "/health/live", client=client)).status_code == 200


async def test_metrics_show_whether_the_process_is_ready_now(meters: Meters) -> None:
    reasons = ["halted"]

    async def unready() -> list[str]:
        return reasons

    app = Health("creator", unready, asyncio.Event(), meters)
    before = (await ask(app, "/metrics")).text
    reasons.clear()
    after = (await ask(app, "/metrics")).text
    assert [text.splitlines()[-1][-3:] for text in (before, after)] == ["0.0", "1.0"]


async def test_what_the_admin_port_does_not_have_is_told(meters: Meters) -> None:
    assert (await get(meters, "/")).status_code == 404
    app = Health("intake", no_reason, asyncio.Event(), meters)
    assert (await ask(app, "/health/ready", method="POST")).status_code == 405
    assert (await ask(app, "/health/ready", method="HEAD")).content == b""


# Listening -----------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with process.bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"127\.0\.0\.1, port {port}: .*in use.*--admin-port"):
            process.bind("127.0.0.1", port)


def test_a_host_that_is_not_this_machine_is_named() -> None:
    with pytest.raises(Misconfigured, match=r"203\.0\.113\.1, port 0"):
        process.bind("203.0.113.1", 0)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_a_url_is_one_that_this_machine_can_open(host: str, shown: str) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with process.bind(host, 0) as bound:
        assert process.url_of(bound) == f"http://{shown}:{bound.getsockname()[1]}"


# From start to stop --------------------------------------------------------------------------------------------------


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    settings = Settings.load(region="a", regions_dir=REGIONS, data_dir=tmp_path)
    topology = settings.topology()
    region = topology.region("a")
    meters = Meters(Identity("a", "blue", "intake"))
    return Frame("creator", settings, topology, region, "blue", region.creator, meters)


async def slow_app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"finished"})


def test_a_request_under_way_is_answered_before_the_engines_are_closed(
    frame: Frame, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    async def client() -> None:
        said = json.loads(capsys.readouterr().out)
        assert (said["role"], said["region"], said["pid"]) == ("intake", "a", os.getpid())
        assert (said["admin_url"][:7], said["url"][:8]) == ("http://", "https://")
        ca_file = frame.settings.ca_file(frame.region)
        async with httpx2.AsyncClient(verify=ssl.create_default_context(cafile=ca_file)) as http:
            assert (await http.get(f"{said['admin_url']}/health/ready")).status_code == 200
            done.append((await http.get(said["url"])).text)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Service]:
        asking: list[asyncio.Task[None]] = []

        async def run(stopping: asyncio.Event) -> None:
            asking.append(asyncio.create_task(client()))
            await stopping.wait()

        yield Service(run, no_reason, slow_app)
        done.append("closed")
        await asking[0]

    process.run(dataclasses.replace(frame, role="intake", listening=frame.region.intake), opened())
    assert done == ["finished", "closed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_each_signal_to_end_stops_the_work(frame: Frame, number: signal.Signals) -> None:
    worked: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Service]:
        async def run(stopping: asyncio.Event) -> None:
            os.kill(os.getpid(), number)
            await stopping.wait()
            worked.append("stopped")

        yield Service(run, no_reason)

    process.run(frame, opened())
    assert worked == ["stopped"]


ROLE = """
import asyncio, os, signal, sys, time
from contextlib import asynccontextmanager
from pathlib import Path
from tocsin.engines.errors import Misconfigured
from tocsin.roles import process
from tocsin.settings import Settings

process.STOP_S_MAX = 0.5

@asynccontextmanager
async def opened():
    async def unready():
        return []
    yield process.Service(globals()[sys.argv[2]], unready)

async def hang(stopping):
    os.kill(os.getpid(), signal.SIGTERM)
    await stopping.wait()
    time.sleep(60)  # holds the event loop too

async def fail(stopping):
    async with asyncio.TaskGroup() as group:
        group.create_task(refuse())

async def refuse():
    raise Misconfigured("the log has other partitions")

settings = Settings.load(region="a", regions_dir=Path(sys.argv[1]))
try:
    process.run(process.Frame.load("creator", settings), opened())
except Misconfigured as error:
    sys.exit(f"refused: {error}")
"""


def run_role(work: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a role whose work goes wrong. In a process of its own: what hangs in an event loop's end cannot be ended."""
    return subprocess.run([sys.executable, "-c", ROLE, REGIONS, work], capture_output=True, timeout=30, check=False)


def test_a_stop_that_hangs_is_ended_by_force() -> None:
    ended = run_role("hang")
    assert ended.returncode == 1
    assert b"stop_timed_out" in ended.stderr


def test_work_that_fails_ends_the_process_with_its_own_error() -> None:
    ended = run_role("fail")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == b"refused: the log has other partitions"


PARENT = """
import os, subprocess, sys, time
child = "import os, sys, time; from tocsin.roles.process import die_with; die_with(int(sys.argv[1])); print('on', flush=True); time.sleep(60)"
started = subprocess.Popen([sys.executable, "-c", child, str(os.getpid())], start_new_session=True, stdout=subprocess.PIPE)
started.stdout.readline()
print(started.pid, flush=True)
time.sleep(60)
"""  # noqa: E501


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help exists on Linux alone")
def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.02)


def test_a_child_whose_parent_has_gone_already_does_not_start() -> None:
    code = "from tocsin.roles.process import die_with; die_with(1)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert b"has ended" in ended.stderr


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
