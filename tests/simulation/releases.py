"""Releases of our own code that differ: in what they refuse, in the schema that they read, in what kills them.

Each process runs a release. The real code decides everything; before it, what a release refuses is refused, what is too
new for it is too new, and what is poison to it ends the process that writes it, or holds it for ever.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from unittest import mock

from tests.simulation.ailments import is_hit
from tests.simulation.loop import PROCESS, Process, VirtualLoop
from tocsin.core import requests
from tocsin.core.entries import Entry
from tocsin.core.events import InvalidEvent, entry_of
from tocsin.core.ids import Parent
from tocsin.core.requests import SCHEMA, Content, Record, Request, Unreadable, decode_record

POISON: Final = "poison"
"""Requests whose dedup key begins so end every release that writes them."""
TAR: Final = "tar"
"""These hold it for ever."""


@dataclass(frozen=True)
class Release:
    """One release. Of parents, `rejects` and `dies_of` hit one in `share`, which ones the salt decides; 0 is none."""

    name: str = "good"
    schema: int = SCHEMA
    salt: int = 0
    rejects: int = 0
    dies_of: int = 0

    def refuses(self, parent: Parent) -> bool:
        """Whether its validator refuses a request of this parent."""
        return bool(self.rejects) and is_hit(parent, self.salt, self.rejects)

    def is_killed_by(self, parent: Parent) -> bool:
        """Whether it ends when it writes an entry of this parent."""
        hit = bool(self.dies_of) and is_hit(parent, self.salt, self.dies_of)
        return hit or parent.dedup_key.startswith(POISON)

    def is_held_by(self, parent: Parent) -> bool:
        """Whether it hangs when it writes an entry of this parent."""
        return parent.dedup_key.startswith(TAR)


GOOD: Final = Release()


class ReleasedProcess(Process):
    """A process that runs a release."""

    def __init__(self, name: str, region: str, loop: VirtualLoop, release: Release) -> None:
        super().__init__(name, region, loop)
        self.release = release


def release_of_caller() -> Release:
    """The release that runs; of the world's own code the good one."""
    process = PROCESS.get()
    return process.release if isinstance(process, ReleasedProcess) else GOOD


@contextmanager
def releases() -> Iterator[None]:
    """Puts the differences before the real code, wherever that validates or decodes."""
    with ExitStack() as stack:
        for place, name, double in (
            ("tocsin.roles.writer", "entry_of", _entry_of),
            ("tocsin.core.requests", "decode_record", _decode_record),
            ("tocsin.core.case", "decode_record", _decode_record),
        ):
            stack.enter_context(mock.patch(f"{place}.{name}", double))
        yield


def _entry_of(request: Request) -> Entry:
    release = release_of_caller()
    if release.refuses(request.key.parent):
        raise InvalidEvent("invalid event", "refused", [f"release {release.name} refuses it"])
    return entry_of(request)


def _decode_record(record: Record) -> Content:
    content = decode_record(record)
    ours = release_of_caller().schema
    if isinstance(content, Request) and content.schema > ours:
        what = f"schema version {content.schema} is above ours, {ours}"
        return Unreadable(content.key, what, too_new=True, arrival=content.arrival)
    return content


assert requests.decode_record is decode_record, "imported while the differences were in place"
