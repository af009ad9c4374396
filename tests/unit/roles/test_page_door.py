"""The page door: which call counts as the synthetic page, and which does not."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from tocsin.roles.delivery import signing
from tocsin.roles.page_door import AGE_S_MAX, BODY_BYTES_MAX, PageDoor

NOW_S = 1_700_000_000
SECRET = bytes(32)
INCIDENT = "0x6553f0840f0e0d0c"
PAGE = json.dumps({"type": "page", "data": {"incidents": [{"id": INCIDENT, "title": "x"}], "user": "y"}}).encode()


def signed(body: bytes = PAGE, *, secret: bytes = SECRET, at_s: int = NOW_S) -> dict[str, str]:
    return signing.headers(secret, "a.3.7", at_s, body)


async def call(
    door: PageDoor, headers: dict[str, str], body: bytes = PAGE, *, path: str = "/page", method: str = "POST"
) -> int:
    """The status that the door answers."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await door({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
    return int(sent[0]["status"])


@pytest.fixture
def door() -> PageDoor:
    return PageDoor(SECRET, lambda: NOW_S)


async def test_a_signed_page_about_the_incident_counts(door: PageDoor) -> None:
    with door.awaiting(INCIDENT) as came:
        assert await call(door, signed()) == 204
        assert came.is_set()


async def test_one_of_several_signatures_is_enough(door: PageDoor) -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    with door.awaiting(INCIDENT) as came:
        assert await call(door, headers) == 204
        assert came.is_set()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(secret=b"\1" * 32),
        signed(b"another body"),
        signed(at_s=NOW_S - int(AGE_S_MAX) - 1),
        signed(at_s=NOW_S + int(AGE_S_MAX) + 1),
        signed() | {"webhook-timestamp": "soon"},
        signed() | {"webhook-id": "ä"},
        signed() | {"webhook-signature": ""},
    ],
    ids=["none", "another secret", "another body", "old", "ahead", "no time", "strange id", "empty"],
)
async def test_what_is_not_signed_rightly_does_not_count(door: PageDoor, headers: dict[str, str]) -> None:
    with door.awaiting(INCIDENT) as came:
        assert await call(door, headers) == 401
        assert not came.is_set()


async def test_a_page_about_another_incident_does_not_count(door: PageDoor) -> None:
    with door.awaiting("0x0000000000000001") as came:
        assert await call(door, signed()) == 204
        assert not came.is_set()


async def test_a_page_that_nobody_waits_for_is_taken_and_does_not_count_later(door: PageDoor) -> None:
    assert await call(door, signed()) == 204
    with door.awaiting(INCIDENT) as came:
        assert not came.is_set()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": {}}', b"[" * 10_000])
async def test_what_is_no_page_is_refused(door: PageDoor, body: bytes) -> None:
    assert await call(door, signed(body), body) == 400


async def test_other_paths_methods_and_sizes_are_refused(door: PageDoor) -> None:
    assert await call(door, signed(), path="/other") == 404
    assert await call(door, signed(), method="GET") == 405
    large = b"x" * (BODY_BYTES_MAX + 1)
    assert await call(door, signed(large), large) == 413
