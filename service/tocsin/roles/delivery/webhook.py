"""Webhooks: a page as JSON to a URL of the user's own, signed after Standard Webhooks 1.0.0.

2xx                            delivered
410                            failed for good: it wants no more, and is not called for an hour; somebody is told
429, 502, 503, 504             failed, again after Retry-After or a pause
other 5xx                      failed, again after a pause
3xx and other 4xx              failed for good: redirects are not followed
no connection                  failed, again
no answer, or a broken one     nobody knows: again with the same webhook-id, by which the receiver knows it
"""

import asyncio
import contextlib
import email.utils
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec

from tocsin.core.ids import format_id
from tocsin.core.paging.effects import Bundle
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.addresses import fault_of
from tocsin.roles.delivery import signing
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.plain import clean, since
from tocsin.roles.delivery.provider import Delivery, refused
from tocsin.roles.delivery.reachable import Forbidden, Resolver, Unreachable

CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0
BODY_S: Final = 1.0
ANSWER_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 19_000
"""The standard wants less than 20 kB."""
COVERS_TOLD_MAX: Final = 200
HOSTS_KEPT: Final = 128
RETRY_AFTER_S_MAX: Final = 3_600.0
GONE: Final = 410
GONE_S: Final = 3_600.0
"""A receiver that said so is not called again for so long, nor until its address changes."""
GONE_KEPT: Final = 10_000
AGAIN: Final = frozenset({408, 425, 429})
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Host:
    client: httpx2.AsyncClient
    calls: int = 0


class WebhookProvider:
    """Calls users' URLs. One pool of connections a host, the least recently used one is closed first."""

    def __init__(
        self,
        key: bytes,
        trusted: ssl.SSLContext,
        *,
        allow_private: bool = False,
        private_allowed: Collection[str] = (),
    ) -> None:
        """`key` is the deployment's (`signing.load_key`); `private_allowed` as `Resolver` has it."""
        self._key = key
        self._trusted = trusted
        self._resolver = Resolver(allow_private=allow_private, private_allowed=private_allowed)
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._gone: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """See `Provider.deliver`."""
        if fault := fault_of(MethodKind.WEBHOOK, method.address):
            return refused(f"the address {fault}")
        gone = (message.bundle.person.id, method.id, method.address)
        if self._gone.get(gone, -GONE_S) > time.monotonic() - GONE_S:
            return refused("its receiver said HTTP 410 within the hour: it wants no more")
        try:
            url = httpx2.URL(method.address)
            host, port = url.raw_host.decode("ascii"), url.port or 443
            address = await self._resolver.address_of(host, port)
        except Unreachable as error:
            return Delivery(Outcome.FAILED, str(error))
        except (Forbidden, ValueError, httpx2.InvalidURL) as error:
            return refused(str(error))
        body = payload(message.bundle)
        secret = signing.secret_of(self._key, message.bundle.person.id, method.id)
        request = httpx2.Request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={
                "host": url.netloc.decode("ascii"),
                "content-type": "application/json",
                "user-agent": "tocsin",
                **signing.headers(secret, message.id, int(time.time()), body),
            },
            extensions={"sni_hostname": host, "timeout": _TIMEOUT},
        )
        try:
            async with asyncio.timeout(ANSWER_S), self._client(f"{host}:{port}") as client:
                answer = await client.send(request, stream=True)
                await _read(answer)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            return Delivery(Outcome.FAILED, f"no connection: {type(error).__name__} {error}".strip())
        except httpx2.HTTPError as error:
            return Delivery(Outcome.UNKNOWN, f"no answer: {type(error).__name__} {error}".strip(), may_repeat=True)
        except TimeoutError:
            return Delivery(Outcome.UNKNOWN, f"no answer within {ANSWER_S:g} s", may_repeat=True)
        if answer.status_code == GONE:
            self._remember_gone(gone)
        return _told(answer)

    async def close(self) -> None:
        """Ends all connections."""
        while self._hosts:
            _, host = self._hosts.popitem()
            await host.client.aclose()
        self._resolver.close()

    @contextlib.asynccontextmanager
    async def _client(self, name: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A client for one host alone: a connection to an address must not be used under another host's name."""
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= HOSTS_KEPT:
                idle = next((name for name, one in self._hosts.items() if not one.calls), None)
                if idle is not None:
                    await self._hosts.pop(idle).client.aclose()
            client = httpx2.AsyncClient(verify=self._trusted, follow_redirects=False, trust_env=False)
            host = self._hosts[name] = _Host(client)
        self._hosts.move_to_end(name)
        host.calls += 1
        try:
            yield host.client
        finally:
            host.calls -= 1

    def _remember_gone(self, gone: tuple[str, str, str]) -> None:
        user, method, _ = gone
        extra = {"action": "webhook_gone", "user": user, "method": method}
        _log.warning("a webhook's receiver wants no more (410): remove the method, or mend its receiver", extra=extra)
        self._gone[gone] = time.monotonic()
        self._gone.move_to_end(gone)
        if len(self._gone) > GONE_KEPT:
            self._gone.popitem(last=False)


_TIMEOUT: Final = httpx2.Timeout(ANSWER_S, connect=CONNECT_S).as_dict()


def payload(bundle: Bundle) -> bytes:
    """The body: as many incidents as fit, the new ones first, and how many there are."""
    intent = bundle.intent
    items: list[dict[str, Any]] = []
    data = {
        "bundle": intent.name,
        "region": intent.id.region,
        "place": intent.place,
        "why": intent.why,
        "user": bundle.person.id,
        "method": bundle.method.id,
        "urgency": intent.channel.urgency,
        "due": since(intent.due_us),
        "due_us": intent.due_us,
        "covers": [pair.hex() for pair in intent.pairs[:COVERS_TOLD_MAX]],
        "incidents_total": len(bundle.items),
        "incidents": items,
    }
    whole = {"type": "page", "timestamp": since(intent.at_us), "data": data}
    size = len(msgspec.json.encode(whole))
    for item in bundle.items:
        told = _item(item)
        size += len(msgspec.json.encode(told)) + 1
        if size > BODY_BYTES_MAX:
            break
        items.append(told)
    return msgspec.json.encode(whole)


def _item(item: Any) -> dict[str, Any]:
    one = item.assignment
    return {
        "id": format_id(one.incident.id),
        "service": clean(one.service),
        "title": clean(one.title),
        "source": clean(one.source),
        "since": since(one.since_us),
        "is_new": item.is_new,
    }


async def _read(answer: httpx2.Response) -> None:
    """Reads what came with the status, so that the connection can be used again, but only little and not for long."""
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in answer.aiter_raw():
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    break
    except (httpx2.HTTPError, TimeoutError):
        pass  # the status is what counts
    finally:
        await answer.aclose()


def _told(answer: httpx2.Response) -> Delivery:
    status = answer.status_code
    if answer.is_success:
        return Delivery(Outcome.DELIVERED, f"HTTP {status}")
    if status == GONE:
        return refused("HTTP 410: it wants no more")
    if answer.is_server_error or status in AGAIN:
        return Delivery(Outcome.FAILED, f"HTTP {status}", retry_after_s=retry_after_s(answer.headers))
    if answer.is_redirect:
        return refused(f"HTTP {status}: it redirects, which is not followed")
    return refused(f"HTTP {status}")


def retry_after_s(given: httpx2.Headers) -> float | None:
    """The pause that the receiver asks for; None when it asks for none that can be understood."""
    text = given.get("retry-after", "").strip()
    if text.isdigit() and text.isascii():
        return min(float(text[:9]), RETRY_AFTER_S_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(at.timestamp() - time.time(), 0.0), RETRY_AFTER_S_MAX)
