"""Records that no intake of ours would append: for drills in which a foreign producer, a newer release or a wrong clock
does.
"""

import time
from typing import Final

from tocsin.core.events import client_digest, request_body
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.requests import SCHEMA, Record, Request, Tick, encode_tick

RUBBISH: Final = b"\x00no request that anybody could decode "


def rubbish() -> Record:
    """A record that nobody can decode, another one each time."""
    return Record(b"rubbish", RUBBISH + str(time.time_ns()).encode())


def future_tick(region: str, ahead_s: float) -> Record:
    """What an intake's tick says whose clock is ahead by so much."""
    return encode_tick(Tick(time.time_ns() // 1000 + round(ahead_s * 1e6), region))


def newer_request(region: str, service: str, dedup_key: str) -> Request:
    """A request as the next release would write it: of a schema version above ours."""
    received_us = time.time_ns() // 1000
    payload = {"summary": "of a newer release", "source": "drill", "severity": "warning"}
    body = request_body({"event_action": "trigger", "payload": payload}, dedup_key)
    parent = Parent(service, dedup_key)
    key = RequestKey(parent, (received_us // 1_000_000) << 32 | received_us % (1 << 32), client_digest(parent, body))
    return Request(key, received_us, region, SCHEMA + 1, body)
