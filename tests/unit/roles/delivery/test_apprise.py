"""Apprise, with a real service of its own to call: one that speaks Gotify's API."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.unit.roles.delivery.bundles import assignment, bundle
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.roles.delivery import apprise, plain
from tocsin.roles.delivery.apprise import AppriseProvider
from tocsin.roles.delivery.guarded import outside_only
from tocsin.roles.delivery.provider import Delivery
from tocsin.telemetry import Bound, Gauge, Identity, Meters


@dataclass
class Gotify:
    """Answers with `status`, once it may."""

    port: int = 0
    status: str = "200 OK"
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"gotify://localhost:{self.port}/abcdefghijkl"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            self.told.append(json.loads(await reader.readexactly(length)))
            await self.may_answer.wait()
            writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def gotify() -> AsyncIterator[Gotify]:
    found = Gotify()
    found.may_answer.set()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found
        found.may_answer.set()
        await threads_ended()


async def threads_ended() -> None:
    async with asyncio.timeout(10):
        while any(thread.name == "apprise" for thread in threading.enumerate()):  # noqa: ASYNC110 (they tell nobody)
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)


def meters() -> Meters:
    return Meters(Identity("a", "blue", "notifier"))


async def send(provider: AppriseProvider, url: str, title: str = "") -> Delivery:
    message = plain.render(bundle(assignment(title=title)))
    return await provider.deliver(message, Method("push", MethodKind.APPRISE, url))


async def test_a_service_is_told_in_plain_text(gotify: Gotify) -> None:
    provider = AppriseProvider(4, meters(), allow_private=True)

    assert (await send(provider, gotify.url, "<b>disk</b> & *co*")).outcome is Outcome.DELIVERED
    [told] = gotify.told
    assert told["title"] == "[checkout] <b>disk</b> & *co*"
    assert "<b>disk</b> & *co*" in told["message"]


@pytest.mark.parametrize("status", ["500 Oops", "401 No", "302 Found\r\nLocation: http://localhost:1/"])
async def test_no_yes_is_unknown_and_tried_again(gotify: Gotify, status: str) -> None:
    gotify.status = status
    delivery = await send(AppriseProvider(4, meters(), allow_private=True), gotify.url)

    assert (delivery.outcome, delivery.may_repeat) == (Outcome.UNKNOWN, True)
    assert len(gotify.told) == 1


async def test_a_call_that_hangs_is_not_waited_for_and_is_counted(
    gotify: Gotify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apprise, "CALL_S", 0.3)
    counted = meters()
    provider = AppriseProvider(1, counted, allow_private=True)
    await send(provider, gotify.url)  # the first one loads the library
    await threads_ended()
    gotify.may_answer.clear()

    assert (await send(provider, gotify.url)).outcome is Outcome.UNKNOWN
    again, other = await send(provider, gotify.url), await send(provider, gotify.url + "x")

    assert (again.outcome, again.reason) == (Outcome.FAILED, "an earlier call to it has not ended")
    assert (other.outcome, other.reason) == (Outcome.FAILED, "none of 1 threads is free")
    [used] = [series for metric, series in counted.collect() if metric is Gauge.USED]
    assert [value for labels, value in used.items() if ("bound", Bound.THREADS) in labels] == [1]
    gotify.may_answer.set()
    await threads_ended()
    assert (await send(provider, gotify.url)).outcome is Outcome.DELIVERED


async def test_no_address_inside_a_network_is_called(gotify: Gotify) -> None:
    delivery = await send(AppriseProvider(4, meters()), gotify.url)

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, True)
    assert "inside a network" in delivery.reason
    assert gotify.told == []


def test_a_guarded_thread_reaches_nothing_of_this_machine_and_others_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()
        with outside_only() as refusals:
            with pytest.raises(PermissionError), socket.create_connection(where):
                pass
            with pytest.raises(PermissionError), socket.socket(socket.AF_UNIX) as one:
                one.connect("/run/docker.sock")
            with pytest.raises(PermissionError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"x", ("localhost", 1))
        with socket.create_connection(where):
            pass
    assert len(refusals) == 3


@pytest.mark.parametrize("url", ["", "nobodys://T0KEN", "json://localhost/T0KEN", "syslog://T0KEN", "discord://T0KEN"])
async def test_what_is_no_url_of_a_service_is_refused_and_its_token_told_to_nobody(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    delivery = await send(AppriseProvider(4, meters(), allow_private=True), url)

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, True)
    assert "T0KEN" not in caplog.text + delivery.reason
    await threads_ended()


async def test_targets_are_forgotten_when_there_are_too_many(gotify: Gotify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise, "TARGETS_KEPT", 2)
    provider = AppriseProvider(4, meters(), allow_private=True)
    for number in range(4):
        assert (await send(provider, f"{gotify.url}{number}")).outcome is Outcome.DELIVERED
    assert len(provider._targets) == 2
