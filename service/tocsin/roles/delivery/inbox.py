"""The inbox: pages into a file, to see them without any provider. For development, and for the first five minutes.

One file a region, a line of JSON a page. When it is full it becomes the older of two, and the one before that goes.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.provider import Delivery

FILE_BYTES_MAX: Final = 4 * 1024 * 1024


class Received(msgspec.Struct, frozen=True):
    """A page that was put into an inbox. `covers` names what it is about, as the intent does (hexadecimal)."""

    at_us: int
    bundle: str
    user: str
    address: str
    region: str
    place: int
    subject: str
    text: str
    covers: list[str]


class InboxProvider:
    """Writes pages into the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """See `Provider.deliver`."""
        intent = message.bundle.intent
        received = Received(
            at_us=time.time_ns() // 1000,
            bundle=message.id,
            user=message.bundle.person.id,
            address=method.address,
            region=intent.id.region,
            place=intent.place,
            subject=message.subject,
            text=message.long,
            covers=[pair.hex() for pair in intent.pairs],
        )
        try:
            await asyncio.to_thread(self._append, msgspec.json.encode(received) + b"\n")
        except OSError as error:
            return Delivery(Outcome.FAILED, f"the inbox cannot be written: {error.strerror}")
        return Delivery(Outcome.DELIVERED, "in the inbox")

    async def close(self) -> None:
        """There is nothing to free."""

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(line)
            is_full = file.tell() > FILE_BYTES_MAX
        if is_full:
            self._path.replace(older(self._path))


def older(path: Path) -> Path:
    """Where the pages before those of a file are."""
    return path.with_suffix(".1.jsonl")


def read(path: Path) -> Iterator[Received]:
    """The pages of an inbox, oldest first; a line that was cut off is left out."""
    for file in (older(path), path):
        if file.exists():
            for line in file.read_bytes().splitlines():
                try:
                    yield msgspec.json.decode(line, type=Received)
                except (ValueError, RecursionError):
                    continue
