"""Webhooks: a page as JSON to a URL of the user's own, signed after Standard Webhooks 1.0.0.

2xx                            delivered
410                            failed for good: the receiver wants no more; somebody is told
429, 502, 503, 504             failed, again after Retry-After or a pause
other 5xx                      failed, again after a pause
3xx and other 4xx              failed for good: redirects are not followed
no connection                  failed, again
no answer, or a broken one     nobody knows: again with the same webhook-id, by which the receiver knows it
"""

import email.utils
import logging
import ssl
import time
from collections import OrderedDict
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from tocsin.core.ids import format_id
from tocsin.core.paging.effects import Bundle
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method
from tocsin.roles.delivery import signing
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.plain import clean, since
from tocsin.roles.delivery.provider import Delivery
from tocsin.roles.delivery.reachable import Unreachable, address_of

CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0
ANSWER_BYTES_MAX: Final = 64 * 1024
"""An answer is read to here and no further: its status is what counts."""
BODY_BYTES_MAX: Final = 19_000
"""The standard wants less than 20 kB."""
COVERS_TOLD_MAX: Final = 200
HOSTS_KEPT: Final = 128
RETRY_AFTER_S_MAX: Final = 3_600.0
GONE: Final = 410
AGAIN: Final = frozenset({408, 425, 429})
_log = logging.getLogger(__name__)


class WebhookProvider:
    """Calls users' URLs. One pool of connections a host, the least recently used one is closed first."""

    def __init__(self, key: bytes, trusted: ssl.SSLContext, *, allow_private: bool = False) -> None:
        """`key` is the deployment's (`signing.load_key`)."""
        self._key = key
        self._trusted = trusted
        self._allow_private = allow_private
        self._clients: OrderedDict[str, httpx2.AsyncClient] = OrderedDict()

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """See `Provider.deliver`."""
        try:
            url = httpx2.URL(method.address)
            port = urlsplit(method.address).port or 443
            address = await address_of(url.host, port, allow_private=self._allow_private)
        except (Unreachable, ValueError, httpx2.InvalidURL) as error:
            return Delivery(Outcome.FAILED, str(error))
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
            extensions={"sni_hostname": url.host, "timeout": _TIMEOUT},
        )
        try:
            client = await self._client(f"{url.host}:{port}")
            answer = await client.send(request, stream=True)
            try:
                return _told(answer, message, method)
            finally:
                await answer.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            return Delivery(Outcome.FAILED, f"no connection: {type(error).__name__} {error}".strip())
        except httpx2.HTTPError as error:
            return Delivery(Outcome.UNKNOWN, f"no answer: {type(error).__name__} {error}".strip(), may_repeat=True)

    async def close(self) -> None:
        """Ends all connections."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.aclose()

    async def _client(self, host: str) -> httpx2.AsyncClient:
        """A client for one host alone: a connection to an address must not be used under another host's name."""
        client = self._clients.get(host)
        if client is None:
            if len(self._clients) >= HOSTS_KEPT:
                _, oldest = self._clients.popitem(last=False)
                await oldest.aclose()
            client = self._clients[host] = httpx2.AsyncClient(
                verify=self._trusted, follow_redirects=False, trust_env=False
            )
        self._clients.move_to_end(host)
        return client


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


def _told(answer: httpx2.Response, message: Message, method: Method) -> Delivery:
    status = answer.status_code
    if answer.is_success:
        return Delivery(Outcome.DELIVERED, f"HTTP {status}")
    if status == GONE:
        extra = {"action": "webhook_gone", "user": message.bundle.person.id, "method": method.id}
        _log.warning("a webhook's receiver says that it is gone (410): remove the method, or mend it", extra=extra)
        return Delivery(Outcome.FAILED, "HTTP 410: it wants no more", is_final=True)
    if answer.is_server_error or status in AGAIN:
        return Delivery(Outcome.FAILED, f"HTTP {status}", retry_after_s=retry_after_s(answer.headers))
    return Delivery(Outcome.FAILED, f"HTTP {status}", is_final=True)


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
