"""Webhooks, against a real receiver over TLS."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from tests.unit.roles.delivery.bundles import assignment, bundle
from tocsin.core.paging.feedback import COVERS_MAX, Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.errors import Misconfigured
from tocsin.roles.delivery import plain, reachable, signing, webhook
from tocsin.roles.delivery.provider import Delivery
from tocsin.roles.delivery.reachable import Forbidden, Resolver, Unreachable, is_public
from tocsin.roles.delivery.webhook import WebhookProvider, payload

KEY = bytes(range(32))


@dataclass
class Receiver:
    """Answers every request with `answer`; empty: hangs up without one."""

    port: int = 0
    answer: bytes = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    hangs: bool = False
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        self.headers.append({"line": head[0], **headers})
        self.bodies.append(await reader.readexactly(int(headers["content-length"])))
        if self.hangs:
            await asyncio.Event().wait()
        writer.write(self.answer)
        await writer.drain()
        return b"Content-Length: 2" in self.answer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def receiver(authority: trustme.CA) -> AsyncIterator[Receiver]:
    found = Receiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@contextlib.asynccontextmanager
async def provider(authority: trustme.CA, *, allow_private: bool = True) -> AsyncIterator[WebhookProvider]:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    found = WebhookProvider(KEY, trusted, allow_private=allow_private)
    yield found
    await found.close()


async def call(found: WebhookProvider, address: str) -> Delivery:
    method = Method("hook", MethodKind.WEBHOOK, address)
    return await found.deliver(plain.render(bundle(methods=(method,))), method)


async def test_a_webhook_is_signed_so_that_its_receiver_can_check_it(authority: trustme.CA, receiver: Receiver) -> None:
    async with provider(authority) as found:
        delivery = await call(found, f"https://localhost:{receiver.port}/pages?to=ada")

    assert delivery.outcome is Outcome.DELIVERED
    [headers], [body] = receiver.headers, receiver.bodies
    secret = base64.b64decode(signing.shown(signing.secret_of(KEY, "ada", "hook")).removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["line"] == "POST /pages?to=ada HTTP/1.1"
    assert headers["host"] == f"localhost:{receiver.port}"
    told = json.loads(body)["data"]
    assert (told["bundle"], told["user"], told["incidents_total"]) == (headers["webhook-id"], "ada", 1)
    assert len(told["covers"]) == 1


def test_signatures_are_those_of_the_standard() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signing.headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("status", "outcome", "is_final", "retry_after_s"),
    [
        ("302 Found\r\nLocation: https://localhost/", Outcome.FAILED, True, None),
        ("400 Bad Request", Outcome.FAILED, True, None),
        ("410 Gone", Outcome.FAILED, True, None),
        ("429 Too Many Requests\r\nRetry-After: 7", Outcome.FAILED, False, 7.0),
        ("429 Too Many Requests\r\nRetry-After: soon", Outcome.FAILED, False, None),
        ("500 Internal Server Error", Outcome.FAILED, False, None),
        ("503 Service Unavailable\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT", Outcome.FAILED, False, 0.0),
    ],
)
async def test_what_a_receiver_answers_says_whether_to_come_again(
    authority: trustme.CA,
    receiver: Receiver,
    status: str,
    outcome: Outcome,
    is_final: bool,  # noqa: FBT001 (a column)
    retry_after_s: float | None,
) -> None:
    receiver.answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    async with provider(authority) as found:
        delivery = await call(found, f"https://localhost:{receiver.port}/")

    assert (delivery.outcome, delivery.is_final, delivery.retry_after_s) == (outcome, is_final, retry_after_s)
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_no_answer_and_garbage_are_unknown_and_may_be_repeated(
    authority: trustme.CA, receiver: Receiver, answer: bytes
) -> None:
    receiver.answer = answer
    async with provider(authority) as found:
        delivery = await call(found, f"https://localhost:{receiver.port}/")

    assert (delivery.outcome, delivery.may_repeat) == (Outcome.UNKNOWN, True)


async def test_a_receiver_whose_certificate_is_anothers_is_told_nothing(
    authority: trustme.CA, receiver: Receiver
) -> None:
    async with provider(authority) as found:
        delivery = await call(found, f"https://127.0.0.1:{receiver.port}/")

    assert delivery.outcome is Outcome.FAILED
    assert receiver.bodies == []


async def test_a_port_where_nobody_listens_is_a_failure_for_certain(authority: trustme.CA) -> None:
    async with provider(authority) as found:
        assert (await call(found, "https://localhost:1/")).outcome is Outcome.FAILED


async def test_no_address_inside_a_network_is_called(authority: trustme.CA, receiver: Receiver) -> None:
    async with provider(authority, allow_private=False) as found:
        delivery = await call(found, f"https://localhost:{receiver.port}/")

    assert delivery.outcome is Outcome.FAILED
    assert "inside a network" in delivery.reason
    assert receiver.headers == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:0a00:0001::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:  # noqa: FBT001 (a column)
    assert is_public(address) is public


def test_a_payload_stays_below_the_standards_limit_and_says_how_many_there_are() -> None:
    many = [assignment(n, title="\x1b[2J" + "long title " * 50) for n in range(COVERS_MAX)]
    body = payload(bundle(*many))
    told = json.loads(body)["data"]
    assert len(body) < 20_000
    assert told["incidents_total"] == COVERS_MAX
    assert told["incidents"]
    assert "\x1b" not in told["incidents"][0]["title"]


def test_the_key_is_made_once_and_one_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paging.key"
    assert signing.load_key(path) == signing.load_key(path)
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"short")
    with pytest.raises(Misconfigured, match="holds 5 bytes"):
        signing.load_key(path)


async def test_a_receivers_own_library_verifies_each_try_of_a_page_and_sees_that_it_is_one(
    authority: trustme.CA, receiver: Receiver
) -> None:
    method = Method("hook", MethodKind.WEBHOOK, f"https://localhost:{receiver.port}/")
    message = plain.render(bundle(methods=(method,)))
    async with provider(authority) as found:
        for _ in range(2):
            await found.deliver(message, method)

    checking = Webhook(signing.shown(signing.secret_of(KEY, "ada", "hook")))
    told = [checking.verify(*one) for one in zip(receiver.bodies, receiver.headers, strict=True)]
    assert [one["type"] for one in told] == ["page", "page"]
    assert len({headers["webhook-id"] for headers in receiver.headers}) == 1
    with pytest.raises(WebhookVerificationError):
        checking.verify(receiver.bodies[0] + b" ", receiver.headers[0])
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.shown(signing.secret_of(KEY, "ada", "other"))).verify(receiver.bodies[0], receiver.headers[0])


async def test_a_receiver_that_says_gone_is_not_called_again_and_somebody_is_told(
    authority: trustme.CA, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with provider(authority) as found:
        await call(found, f"https://localhost:{receiver.port}/T0KEN")
        again = await call(found, f"https://localhost:{receiver.port}/T0KEN")
        assert len(receiver.bodies) == 1
        moved = await call(found, f"https://localhost:{receiver.port}/elsewhere")

    assert (again.outcome, again.is_final) == (Outcome.FAILED, True)
    assert "410" in again.reason
    assert (moved.reason, len(receiver.bodies)) == ("HTTP 410: it wants no more", 2)
    told = [record for record in caplog.records if getattr(record, "action", "") == "webhook_gone"]
    assert [vars(record)["method"] for record in told] == ["hook", "hook"]
    assert not any("T0KEN" in record.getMessage() for record in told)


async def test_a_receiver_that_never_answers_is_unknown_and_may_be_called_again(
    authority: trustme.CA, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_S", 0.3)
    receiver.hangs = True
    async with provider(authority) as found:
        delivery = await call(found, f"https://localhost:{receiver.port}/")

    assert (delivery.outcome, delivery.may_repeat, delivery.reason) == (Outcome.UNKNOWN, True, "no answer within 0.3 s")


async def test_an_answer_without_end_is_no_reason_to_wait(authority: trustme.CA, receiver: Receiver) -> None:
    receiver.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000
    async with provider(authority) as found:
        assert (await call(found, f"https://localhost:{receiver.port}/")).outcome is Outcome.DELIVERED


async def test_a_connection_is_used_again_and_each_host_has_its_own(
    authority: trustme.CA, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "HOSTS_KEPT", 1)
    receiver.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with provider(authority) as found:
        for _ in range(3):
            await call(found, f"https://localhost:{receiver.port}/")
        assert (receiver.connections, len(receiver.bodies)) == (1, 3)
        await call(found, "https://localhost:1/")
        await call(found, f"https://localhost:{receiver.port}/")
        assert (receiver.connections, len(found._hosts)) == (2, 1)


@pytest.mark.parametrize(
    "address", ["", "http://localhost/", "https://user:secret@localhost/", "https://[::1", "https://localhost:99999/"]
)
async def test_what_is_no_url_of_a_webhook_is_refused_for_good(authority: trustme.CA, address: str) -> None:
    async with provider(authority) as found:
        delivery = await call(found, address)

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, True)
    assert "secret" not in delivery.reason


@pytest.mark.parametrize("host", ["127.1", "0", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "[::]", "localhost."])
async def test_no_other_spelling_leads_inside_either(authority: trustme.CA, receiver: Receiver, host: str) -> None:
    async with provider(authority, allow_private=False) as found:
        delivery = await call(found, f"https://{host}:{receiver.port}/")

    assert delivery.outcome is Outcome.FAILED
    assert receiver.connections == 0


async def test_one_private_address_among_public_ones_is_enough_to_refuse_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = Resolver()
    with pytest.raises(Forbidden, match=r"example\.org is 10\.0\.0\.1"):
        await resolver.address_of("example.org", 443)
    resolver.close()


async def test_what_is_allowed_by_host_and_port_may_be_called_and_its_neighbours_may_not() -> None:
    resolver = Resolver(private_allowed=["127.0.0.1:8470"])
    assert await resolver.address_of("127.0.0.1", 8470) == "127.0.0.1"
    for host, port in (("127.0.0.1", 8471), ("127.0.0.2", 8470), ("localhost", 8470)):
        with pytest.raises(Forbidden):
            await resolver.address_of(host, port)
    resolver.close()


async def test_a_name_that_nobody_answers_for_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait())
    monkeypatch.setattr(reachable, "LOOK_UP_S", 0.1)
    resolver = Resolver()
    with pytest.raises(Unreachable, match="nobody says"):
        await resolver.address_of("example.org", 443)
    answered.set()
    resolver.close()


async def test_a_name_that_there_is_not_is_a_failure_for_now(authority: trustme.CA) -> None:
    async with provider(authority) as found:
        delivery = await call(found, "https://nowhere.invalid/")

    assert (delivery.outcome, delivery.is_final) == (Outcome.FAILED, False)
    assert "nowhere.invalid is not known" in delivery.reason
