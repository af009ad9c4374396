"""Requests for the tests of the creator: valid ones, and records that are none."""

import itertools
from collections.abc import Iterator

from tocsin.core.events import client_digest, request_body
from tocsin.core.ids import Parent, RequestKey, partition_of
from tocsin.core.requests import Request

SECOND = 1_700_000_000
PARTITIONS = 2
_numbers: Iterator[int] = itertools.count(1)


def request(
    dedup_key: str = "db-7/disk",
    *,
    service: str = "checkout",
    action: str = "trigger",
    received_us: int | None = None,
    region: str = "a",
    summary: str = "disk full",
) -> Request:
    """A valid request; each call makes another one, received a microsecond later unless said."""
    number = next(_numbers)
    event = {
        "event_action": action,
        "payload": {"summary": summary, "source": "db-7", "severity": "critical"},
        "custom": number,
    }
    body = request_body(event, dedup_key)
    parent = Parent(service, dedup_key)
    key = RequestKey(parent, SECOND << 32 | number, client_digest(parent, body))
    return Request(key, received_us or SECOND * 1_000_000 + number, region, 1, body)


def invalid_request(dedup_key: str = "db-7/disk") -> Request:
    """A request with a readable envelope and a body that the creator must refuse."""
    body = b'{"event_action":"explode","dedup_key":"' + dedup_key.encode() + b'"}'
    good = request(dedup_key)
    return good._replace(key=good.key._replace(digest=client_digest(good.key.parent, body)), body=body)


def key_in(partition: int, stem: str) -> str:
    """A dedup key with this stem whose parent (of the service checkout) falls into the partition."""
    names = (f"{stem}-{n}" for n in itertools.count())
    return next(name for name in names if partition_of(Parent("checkout", name), PARTITIONS) == partition)
