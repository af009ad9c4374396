"""A server is found to work, paused, killed and started again, and its end is told with its last words."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.ops.local.ports import HOST, Ports
from tocsin.ops.local.program import Program
from tocsin.ops.local.servers import Server, State

WAIT_S = 10.0
ECHO = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    client, _ = server.accept()
    word = client.recv(9)
    if word == b"die":
        sys.exit("asked to die")
    client.sendall(word)
    client.close()
"""
LAST_WORDS = "import sys; print('Caused by: no disk'); print('\\tat java.base/frame'); sys.exit(3)"


async def say(port: int, word: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(word)
    try:
        return await reader.read()
    finally:
        writer.close()


class Kept:
    """A server that gives back what it gets."""

    def __init__(self, folder: Path, port: int, command: Sequence[str]) -> None:
        async def works() -> None:
            async with asyncio.timeout(1):
                if await say(port, b"round") != b"round":
                    raise ConnectionError("not what was sent")

        self.port = port
        self.told: list[str] = []
        program = Program("echo", folder, [*command, str(port)], port, works)
        self.server = Server(program, self.told.append)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    ports = Ports()
    kept = Kept(tmp_path, ports.reserve(), [sys.executable, "-c", ECHO])
    yield kept
    await kept.server.stop()
    ports.close()


async def test_it_is_ready_when_a_round_trip_worked(kept: Kept) -> None:
    await kept.server.start()

    status = kept.server.status
    assert (status["state"], status["pid"]) == (State.READY, kept.server.pid)
    assert status["rss_bytes"] > 0
    assert await say(kept.port, b"hello") == b"hello"


async def test_a_kill_is_not_undone_until_it_is_started(kept: Kept) -> None:
    await kept.server.start()
    first = kept.server.pid

    await kept.server.kill()
    assert (kept.server.state, kept.server.pid) == (State.KILLED, None)
    with pytest.raises(ConnectionRefusedError):
        await say(kept.port, b"hello")
    with pytest.raises(Misconfigured, match="echo does not run, it is killed: start it first"):
        await kept.server.kill()

    await kept.server.start()
    assert kept.server.pid not in {None, first}
    assert kept.told == []


async def test_a_paused_server_answers_nothing_and_goes_on_afterwards(kept: Kept) -> None:
    await kept.server.start()
    kept.server.pause()

    answer = asyncio.create_task(say(kept.port, b"hello"))
    done, _ = await asyncio.wait((answer,), timeout=0.3)
    assert not done

    kept.server.resume()
    async with asyncio.timeout(WAIT_S):
        assert await answer == b"hello"
    with pytest.raises(Misconfigured, match="echo is not paused"):
        kept.server.resume()


async def test_two_starts_at_once_are_one_and_a_paused_server_is_not_started(kept: Kept) -> None:
    await asyncio.gather(kept.server.start(), kept.server.start())
    first = kept.server.pid
    await kept.server.start()
    assert kept.server.pid == first

    kept.server.pause()
    with pytest.raises(Misconfigured, match="echo is paused: resume it"):
        await kept.server.start()


async def test_a_paused_server_can_be_stopped(kept: Kept) -> None:
    await kept.server.start()
    kept.server.pause()

    async with asyncio.timeout(WAIT_S):
        await kept.server.stop()
    assert kept.server.state is State.STOPPED


async def test_a_death_of_its_own_is_told_with_its_last_words(kept: Kept) -> None:
    await kept.server.start()

    await say(kept.port, b"die")
    async with asyncio.timeout(WAIT_S):
        while kept.server.state is not State.DIED:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)

    assert len(kept.told) == 1
    assert "ended by itself, status 1" in kept.told[0]
    assert "asked to die" in kept.told[0]


async def test_an_end_during_the_start_is_an_error_with_its_last_words_but_no_stack_frames(tmp_path: Path) -> None:
    ports = Ports()
    kept = Kept(tmp_path, ports.reserve(), [sys.executable, "-c", LAST_WORDS])

    with pytest.raises(Unavailable, match="echo ended while it was starting: Caused by: no disk") as caught:
        await kept.server.start()

    assert "java.base" not in str(caught.value)
    assert (kept.server.state, kept.server.pid) == (State.STOPPED, None)
    ports.close()


async def test_storage_is_made_once_and_a_failure_to_make_it_is_told(tmp_path: Path) -> None:
    async def works() -> None:
        pass

    mark = tmp_path / "made"
    make = [sys.executable, "-c", f"open({str(mark)!r}, 'a').write('x')"]
    run = [sys.executable, "-c", "import time; time.sleep(60)"]
    server = Server(Program("kafka", tmp_path, run, None, works, make, mark), print)
    for _ in range(2):
        await server.start()
        await server.stop()
    assert mark.read_text() == "x"

    fails = [sys.executable, "-c", "raise SystemExit('no room')"]
    server = Server(Program("kafka", tmp_path, run, None, works, fails, tmp_path / "never"), print)
    with pytest.raises(Unavailable, match="no storage could be made") as caught:
        await server.start()
    assert "no room" in str(caught.value)
