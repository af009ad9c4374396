"""The spool: events that wait on disk, one file each, for some region to take them.

A file is written under another name, synced, and renamed, so what has the name of an event is a whole event whatever
killed us. Its name begins with a number that rises, which is the order in which events were handed in. It begins with
the digest of all that follows its first line: a file that a disk damaged is set aside and told, and hinders no other.

    tocsin-event 1 <digest>
    {"id": "0x...", "dedup_key": "..."}
    {"event_action": "trigger", ...}

The routing key is not in it: it is a secret, and it may have been replaced when the event is sent.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

from tocsin.client.errors import SpoolFull, SpoolInUse
from tocsin.client.limits import Limits
from tocsin.core.ids import parse_id

HEADING: Final = b"tocsin-event 1 "
PRIVATE_DIRECTORY: Final = 0o700
DAMAGED: Final = "damaged"
REFUSED: Final = "refused"
_NAME: Final = re.compile(r"(\d{16})-0x[0-9a-f]{16}\.event\Z")
_log = logging.getLogger(__name__)


class Damaged(Exception):
    """A file is not what was written; the message says how."""


class Kept(NamedTuple):
    """An event on disk."""

    number: int
    id: str
    dedup_key: str
    path: Path
    bytes: int


class Spool:
    """A folder of events. For several threads of one process; held against other processes until `close`."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        """Opens or makes the folder; raises `SpoolInUse`, and OSError when it cannot be written to."""
        directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        self._directory = directory
        self._limits = limits
        self._lock = threading.Lock()
        self._held = _hold(directory)
        self.found: list[Kept] = []
        """What waited in it when it was opened, in order."""
        try:
            for path in sorted(directory.iterdir()):
                self._look_at(path)
        except BaseException:
            self.close()
            raise
        self._count = len(self.found)
        self._bytes = sum(kept.bytes for kept in self.found)

    @property
    def last_number(self) -> int:
        """The highest number of an event that was found."""
        return self.found[-1].number if self.found else 0

    def keep(self, number: int, printed_id: str, dedup_key: str, body: bytes) -> Kept:
        """Writes an event; once this returns neither a kill nor a loss of power loses it. Raises `SpoolFull`."""
        content = _encode(printed_id, dedup_key, body)
        self._reserve(len(content))
        path = self._directory / f"{number:016d}-{printed_id}.event"
        try:
            _write_synced(path, content)
        except OSError as error:
            self._free(len(content))
            raise SpoolFull(f"the spool {self._directory} cannot keep the event: {error}") from error
        return Kept(number, printed_id, dedup_key, path, len(content))

    def read(self, kept: Kept) -> bytes:
        """The body of an event; raises `Damaged` when it is not what was written."""
        try:
            _, body = _decode(kept.path.read_bytes())
        except OSError as error:
            raise Damaged(str(error)) from error
        return body

    def remove(self, kept: Kept) -> None:
        """Removes an event that some region has."""
        kept.path.unlink(missing_ok=True)
        self._free(kept.bytes)

    def set_aside(self, kept: Kept, folder: str, why: str) -> None:
        """Moves an event out of the way, for a person to look at."""
        self._move(kept.path, folder, why)
        self._free(kept.bytes)

    def close(self) -> None:
        """Lets another producer have the folder. What waits stays in it."""
        os.close(self._held)

    # Files -------------------------------------------------------------------------------------------------------

    def _look_at(self, path: Path) -> None:
        if path.suffix == ".new":  # a kill while it was written; its caller was never told that it is kept
            path.unlink()
            return
        name = _NAME.match(path.name)
        if not name:
            return
        try:
            heading, _ = _decode(path.read_bytes())
            printed_id, dedup_key = heading["id"], heading["dedup_key"]
            parse_id(printed_id)
        except (Damaged, LookupError, TypeError, ValueError) as error:
            self._move(path, DAMAGED, str(error))
        else:
            self.found.append(Kept(int(name[1]), printed_id, dedup_key, path, path.stat().st_size))

    def _move(self, path: Path, folder: str, why: str) -> None:
        place = self._directory / folder
        place.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # gone by a person's hand: then there is nothing to look at
            path.replace(place / path.name)
        _log.error("set aside as %s/%s: %s", folder, path.name, why, extra={"action": "event_set_aside"})
        aside = sorted(place.iterdir())
        for oldest in aside[: max(0, len(aside) - self._limits.aside_files_max)]:
            oldest.unlink(missing_ok=True)
            text = "removed %s: more than %d files are in %s"
            _log.error(text, oldest.name, self._limits.aside_files_max, place, extra={"action": "event_removed"})

    def _reserve(self, size: int) -> None:
        limits = self._limits
        with self._lock:
            if self._count + 1 > limits.spool_events_max or self._bytes + size > limits.spool_bytes_max:
                raise SpoolFull(
                    f"the spool {self._directory} is full: {self._count} events, {self._bytes} bytes, of "
                    f"{limits.spool_events_max} and {limits.spool_bytes_max}. No region has taken them: see why, or "
                    "raise the limits"
                )
            self._count += 1
            self._bytes += size

    def _free(self, size: int) -> None:
        with self._lock:
            self._count -= 1
            self._bytes -= size


def _encode(printed_id: str, dedup_key: str, body: bytes) -> bytes:
    rest = json.dumps({"id": printed_id, "dedup_key": dedup_key}).encode() + b"\n" + body
    return HEADING + _digest(rest) + b"\n" + rest


def _decode(content: bytes) -> tuple[dict[str, Any], bytes]:
    first, _, rest = content.partition(b"\n")
    if not first.startswith(HEADING):
        raise Damaged("it does not begin as an event's file does, or is of a newer format")
    if first != HEADING + _digest(rest):
        raise Damaged("its content is not what was written")
    heading, _, body = rest.partition(b"\n")
    return json.loads(heading), body


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).hexdigest().encode()


def _write_synced(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 (private from its start)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the name, too
    finally:
        os.close(directory)


def _hold(directory: Path) -> int:
    held = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it when we end, however we do
    except BlockingIOError as error:
        os.close(held)
        raise SpoolInUse(directory) from error
    return held
