"""The fault switch: which calls through the two ports fail, and how, by rules in one file.

Demo, simulation and drills break things here and nowhere else: what breaks is data that a person can read, it breaks
in the process under test and at the port that the code really uses, and the code above cannot know. One JSON file
serves a whole local set of processes. It is replaced atomically and noticed within `CHECK_EVERY_S`; without it there
are no faults, and a call costs one look at the clock.

A rule bounded by `times` is counted over all processes, because the one that it kills must not meet it for ever: each
hit appends one byte to a file beside the rules, so a count survives the death that it caused.
"""

import asyncio
import fcntl
import logging
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, NoReturn

import msgspec

from tocsin.core.ids import Parent
from tocsin.engines.errors import Misconfigured, Unavailable

CHECK_EVERY_S: Final = 0.05
"""How often, at most, the file is looked at: the longest time that a process acts by the rules of before."""
RULES_MAX: Final = 1_000
DELAY_S_MAX: Final = 3_600.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_log = logging.getLogger(__name__)

Port = Literal["log", "store", "mirror"]
Op = Literal["write", "read"]


class Fault(StrEnum):
    """How a call fails."""

    REFUSE = "refuse"
    """Writes are refused on their merits: REJECTED for entries, `Refused` for the rest. Reads are not hit."""
    TIMEOUT = "timeout"
    """No answer: waits `delay_s`, then UNAVAILABLE for entries, `Unavailable` for the rest. Nothing is stored."""
    UNAVAILABLE = "unavailable"
    """The same, at once."""
    DELAY = "delay"
    """Waits `delay_s`, then goes on."""
    CUT = "cut"
    """The connection is cut: `Unavailable` at once; through a mirror, nothing passes."""
    REPEAT = "repeat"
    """Each message set is delivered twice, as after a lost acknowledgement. Fetches of a log or a mirror only."""
    CRASH = "crash"
    """The process kills itself with SIGKILL just before the write. Entries and records only."""

    @property
    def gives_no_answer(self) -> bool:
        """Whether the caller learns nothing of the outcome."""
        return self in _NO_ANSWER


_NO_ANSWER = frozenset({Fault.TIMEOUT, Fault.UNAVAILABLE, Fault.CUT})


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault. `region` is the region whose ports are hit.

    `service` and `dedup_key` are parts of the parent's own: with either, only entries and records whose parent has
    them are hit, without both every call is. `peer` is for a mirror: the region that it reads from (None: any), so that
    one direction can be cut. `times` bounds the calls that are hit, over all processes (None: no bound).
    """

    id: str
    region: str
    port: Port
    kind: Fault
    op: Literal["write", "read", "any"] = "any"
    service: str = ""
    dedup_key: str = ""
    peer: str | None = None
    delay_s: float = 0.2
    times: int | None = None

    def __post_init__(self) -> None:
        """Refuses a rule that could never do what it says; msgspec names the rule's place in the file."""
        if not _ID.match(self.id):
            raise ValueError(f"id {self.id[:80]!r}: expected 1 to 64 letters, digits, - and _")
        if not 0 <= self.delay_s <= DELAY_S_MAX:
            raise ValueError(f"delay_s {self.delay_s}: expected 0 to {DELAY_S_MAX:.0f} seconds")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times {self.times}: expected at least 1, or none for no bound")
        if self.peer is not None and self.port != "mirror":
            raise ValueError(f"peer {self.peer!r}: only a mirror has a peer; this rule's port is {self.port}")
        if self.kind is Fault.REPEAT and (self.port == "store" or self.op == "write" or self.is_selective):
            raise ValueError("kind repeat: only whole fetches of a log or a mirror can be repeated")
        if self.kind in (Fault.REFUSE, Fault.CRASH) and self.op == "read":
            raise ValueError(f"kind {self.kind}: hits writes; a rule for reads would never act")

    @property
    def is_selective(self) -> bool:
        """Whether only some parents are hit."""
        return bool(self.service or self.dedup_key)

    def matches(self, parent: Parent) -> bool:
        """Whether an entry of this parent is hit."""
        return self.service in parent.service and self.dedup_key in parent.dedup_key

    @property
    def reason(self) -> str:
        """What a person reads in the failure that this rule caused."""
        match self.kind:
            case Fault.REFUSE:
                what = f"the {self.port} refuses this"
            case Fault.TIMEOUT:
                what = f"the {self.port} gave no answer within {self.delay_s:g} s"
            case Fault.CUT:
                what = f"the {self.port} of region {self.region} is cut off"
            case _:
                what = f"the {self.port} of region {self.region} is away"
        return f"{what} (fault switch, rule {self.id})"


class FaultSwitch:
    """The rules of one file, for the ports to ask and for demo and CLI to set.

    A file that cannot be read as rules is `Misconfigured` for those who set rules. For the ports it leaves the last
    good rules in force and is logged once: a typo in it must neither heal nor break anything.
    """

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._counts = path.with_name(path.name + ".hits")
        self._monotonic = monotonic
        self._look_at = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._rules: tuple[Rule, ...] = ()

    # For the ports -----------------------------------------------------------------------------------------------

    def active(self, region: str, port: Port, op: Op, peer: str | None = None) -> tuple[Rule, ...]:
        """The rules for such a call, in the file's order; whether a bounded one still acts, `take` says."""
        self._refresh()
        if not self._rules:
            return ()
        return tuple(
            rule
            for rule in self._rules
            if rule.region == region
            and rule.port == port
            and rule.op in (op, "any")
            and (rule.peer is None or rule.peer == peer)
        )

    def take(self, rule: Rule) -> bool:
        """Counts one hit of a rule; False when it had all its `times` already."""
        if rule.times is None:
            return True
        self._counts.mkdir(exist_ok=True)
        with (self._counts / rule.id).open("ab") as count:
            fcntl.flock(count, fcntl.LOCK_EX)
            if os.fstat(count.fileno()).st_size >= rule.times:
                return False
            count.write(b".")
            count.flush()
            return True

    # For demo and CLI --------------------------------------------------------------------------------------------

    def rules(self) -> tuple[Rule, ...]:
        """The rules as the file has them now. Raises `Misconfigured` when it does not hold rules."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        return self._decode(raw)

    def set_rule(self, rule: Rule) -> None:
        """Adds a rule, or replaces the one of its id and counts its hits anew.

        Raises ValueError for a rule that no file could hold, `Misconfigured` when the file there cannot be read.
        """
        msgspec.convert(msgspec.to_builtins(rule), Rule)
        with self._locked():
            others = [other for other in self.rules() if other.id != rule.id]
            if len(others) >= RULES_MAX:
                raise Misconfigured(f"{self._path} holds {RULES_MAX} rules, the most there can be: clear some first")
            self._replace([*others, rule])
            (self._counts / rule.id).unlink(missing_ok=True)

    def clear(self, rule_id: str) -> bool:
        """Removes a rule; whether there was one of this id."""
        with self._locked():
            before = self.rules()
            after = [rule for rule in before if rule.id != rule_id]
            if len(after) == len(before):
                return False
            self._replace(after)
            (self._counts / rule_id).unlink(missing_ok=True)
            return True

    def clear_all(self) -> None:
        """Removes all rules, whatever the file held: the way out of one that cannot be read."""
        with self._locked():
            self._path.unlink(missing_ok=True)
            if self._counts.is_dir():
                for count in self._counts.iterdir():
                    count.unlink(missing_ok=True)
            self._look_at = float("-inf")

    # The file ----------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        now = self._monotonic()
        if now < self._look_at:
            return
        self._look_at = now + CHECK_EVERY_S
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._rules = None, ()
            return
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._rules = self.rules()
        except Misconfigured as error:
            _log.warning("fault rules stay as they were: %s", error, extra={"action": "faults_unreadable"})

    def _decode(self, raw: bytes) -> tuple[Rule, ...]:
        try:
            return msgspec.json.decode(raw, type=tuple[Rule, ...])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Misconfigured(f"{self._path} does not hold fault rules: {error}. Correct or delete it") from error

    def _replace(self, rules: list[Rule]) -> None:
        raw = msgspec.json.format(msgspec.json.encode(rules), indent=2)
        handle, name = tempfile.mkstemp(prefix=self._path.name, dir=self._path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._look_at = float("-inf")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(self._path.name + ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


async def suffer(rule: Rule) -> None:
    """Does what the rule says to the caller: waits, raises `Unavailable`, or kills the process."""
    if rule.kind is Fault.CRASH:
        _die(rule)
    if rule.kind in (Fault.TIMEOUT, Fault.DELAY):
        await asyncio.sleep(rule.delay_s)
    if rule.kind.gives_no_answer:
        raise Unavailable(rule.reason)


def _die(rule: Rule) -> NoReturn:
    _log.warning("killing this process, as rule %s of the fault switch says", rule.id, extra={"action": "fault_crash"})
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")
