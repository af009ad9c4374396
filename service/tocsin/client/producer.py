"""The producer: what an application calls. See the package for what it promises."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, Unpack

from tocsin.client.errors import Refused, SpoolFull, Unreachable
from tocsin.client.lanes import Lane, Lanes, Waiting
from tocsin.client.limits import Limits
from tocsin.client.regions import Answer, Regions
from tocsin.client.spool import DAMAGED, REFUSED, Damaged, Spool
from tocsin.core.events import InvalidEvent, TooLarge, given_dedup_key, parse_event
from tocsin.core.ids import Minter, format_id

Severity = Literal["critical", "error", "warning", "info"]
AFTER_FAULT_S: Final = 1.0
"""How long the background sender rests when something went wrong that nobody foresaw."""
_log = logging.getLogger(__name__)


class Details(TypedDict, total=False):
    """What a trigger may say besides; see PagerDuty's Events API v2 for the meaning of each."""

    timestamp: str
    """When it happened, ISO 8601. It is shown, not trusted."""
    component: str
    group: str
    class_: str
    custom_details: Mapping[str, Any] | Sequence[Any] | str
    images: Sequence[Mapping[str, str]]
    links: Sequence[Mapping[str, str]]
    client: str
    client_url: str


_OF_PAYLOAD: Final = {
    "timestamp": "timestamp",
    "component": "component",
    "group": "group",
    "class_": "class",
    "custom_details": "custom_details",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event. `delivered`: a region has it; else it waits on disk, and `region_url` and `request` are
    not known yet.
    """

    dedup_key: str
    id: str
    """The printed temporal id, `0x5d684054fc3540a0`: known at once, and the same however often it is sent."""
    delivered: bool
    region_url: str | None = None
    request: str | None = None
    """The printed request key, which every command of `tocsin` takes."""
    ack: str = ""
    """What has it: the log of the `region`, or those of `all-regions`."""


class Producer:
    """Sends events of one service. Thread-safe. Not for use across a fork."""

    def __init__(
        self,
        intakes: Sequence[str],
        routing_key: str,
        spool_dir: str | Path | None = None,
        *,
        ca_file: str | Path | None = None,
        timeout_s: float = 5.0,
        durable: bool = True,
        background: bool = True,
        limits: Limits | None = None,
    ) -> None:
        """`intakes`: the base URLs of the regions' intakes, the preferred first.

        `spool_dir`: where undelivered events wait; without it a call raises when no region takes its event.
        `ca_file`: the CA that signed the regions' certificates; left out, those that the system trusts.
        `timeout_s` bounds each step of an attempt: connecting, sending, waiting for the answer.
        `durable`: an event is on disk before it is first sent. False: only once no region took it, which saves two
        syncs of the disk an event; a kill in the middle of a call may then lose the event of that call.
        `background`: a thread delivers what waits. False: `flush` does.

        Raises ValueError for an address that is none, `SpoolInUse`, and OSError for a spool or a CA file that cannot
        be used.
        """
        limits = limits or Limits()
        self._patience_s = limits.patience_s
        self._routing_key = json.dumps(routing_key).encode()
        self._regions = Regions(intakes, Path(ca_file) if ca_file else None, timeout_s, limits)
        try:
            self._spool = Spool(Path(spool_dir), limits) if spool_dir else None
        except BaseException:
            self._regions.close()
            raise
        self._is_durable = durable
        self._lanes = Lanes(self._spool.found if self._spool else ())
        self._minter = Minter()
        self._minting = threading.Lock()
        self._settling = threading.Lock()
        """Held while an event gets its outcome, and while its call stops waiting for one."""
        self._number = self._spool.last_number if self._spool else 0
        self._closed = threading.Event()
        self._work = threading.Event()
        self._sender: threading.Thread | None = None
        if self._spool and background:
            self._work.set()
            self._sender = threading.Thread(target=self._send_in_background, name="tocsin-sender", daemon=True)
            self._sender.start()

    # What a caller can say ---------------------------------------------------------------------------------------

    def trigger(
        self,
        summary: str,
        source: str,
        severity: Severity,
        dedup_key: str | None = None,
        **details: Unpack[Details],
    ) -> Receipt:
        """Says that something is wrong. Without a dedup key it gets one of its own: the receipt has it.

        Raises `Refused` when the event is wrong, `Unreachable` when no region took it and there is no spool,
        `SpoolFull` when the spool could not keep it either.
        """
        payload: dict[str, Any] = {"summary": summary, "source": source, "severity": severity}
        event: dict[str, Any] = {"event_action": "trigger", "payload": payload}
        for name, value in details.items():
            if name in _OF_PAYLOAD:
                payload[_OF_PAYLOAD[name]] = value
            else:
                event[name] = value
        return self.send(event if dedup_key is None else event | {"dedup_key": dedup_key})

    def acknowledge(self, dedup_key: str) -> Receipt:
        """Says that somebody is at it. Raises as `trigger` does."""
        return self.send({"event_action": "acknowledge", "dedup_key": dedup_key})

    def resolve(self, dedup_key: str) -> Receipt:
        """Says that it is over. Raises as `trigger` does."""
        return self.send({"event_action": "resolve", "dedup_key": dedup_key})

    def send(self, event: Mapping[str, Any]) -> Receipt:
        """Sends a whole event as Events API v2 has it; a routing key in it is replaced by the producer's.

        Raises as `trigger` does, and ValueError or TypeError for what JSON cannot say (NaN, an object of yours).
        """
        if self._closed.is_set():
            raise ValueError("the producer is closed")
        waiting = self._enter(event)
        unkept = self._keep(waiting) if self._is_durable else None
        lane = self._lanes.join(waiting)
        unreachable = None
        try:
            self._deliver(lane, waiting)
        except Unreachable as error:
            unreachable = error
            unkept = unkept if self._is_durable else self._keep(waiting)
        finally:
            self._unwatch(waiting)
        if isinstance(waiting.outcome, Answer):
            return Receipt(waiting.dedup_key, waiting.id, delivered=True, **waiting.outcome._asdict())
        if waiting.outcome is not None:
            raise waiting.outcome
        if waiting.kept:
            self._work.set()
            return Receipt(waiting.dedup_key, waiting.id, delivered=False)
        if unkept:
            raise SpoolFull(f"{unkept}; and {unreachable}") from unreachable
        raise unreachable or AssertionError("an event without an outcome was delivered")

    @property
    def waiting(self) -> int:
        """How many events are on their way or wait on disk."""
        return len(self._lanes)

    def flush(self, timeout_s: float) -> int:
        """Delivers what waits, for at most about `timeout_s`; returns how many events still wait."""
        give_up_at = time.monotonic() + timeout_s
        while not self._sweep(give_up_at):
            pause_s = self._regions.pause_s
            if time.monotonic() + pause_s > give_up_at:
                break
            time.sleep(pause_s)
        return self.waiting

    def close(self) -> None:
        """Ends the background sender and gives the spool free; what waits stays there for the next producer."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._work.set()
        if self._sender:
            self._sender.join()  # it looks at `_closed` before each event; an attempt is bounded by its time-outs
        self._regions.close()
        if self._spool:
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # From an event to its place in a lane ------------------------------------------------------------------------

    def _enter(self, event: Mapping[str, Any]) -> Waiting:
        """Gives an event its dedup key, id and number; raises `Refused` for one that every region would refuse."""
        given = given_dedup_key(dict(event))
        dedup_key = given if given is not None else secrets.token_hex(16)
        # An acknowledge without a key stays one, to be refused for it.
        own = {"dedup_key": dedup_key} if given is not None or event.get("event_action") == "trigger" else {}
        part = {"event_action": None} | dict(event) | own
        part.pop("routing_key", None)
        body = json.dumps(part, allow_nan=False).encode()
        try:
            parse_event(self._with_routing_key(body))  # by the code that intake and creators judge by
        except InvalidEvent as error:
            raise Refused(413 if isinstance(error, TooLarge) else 400, error.errors) from error
        with self._minting:
            self._number += 1
            temporal_id = self._minter.mint(int(time.time()), secrets.randbits(32))
            return Waiting(format_id(temporal_id), dedup_key, self._number, body, is_watched=True)

    def _with_routing_key(self, body: bytes) -> bytes:
        """`body` is an object that is not empty, so it begins with a brace and goes on with a member."""
        return b'{"routing_key": ' + self._routing_key + b", " + body[1:]

    def _keep(self, waiting: Waiting) -> SpoolFull | None:
        """Puts an event on disk. What hinders that matters only once no region takes the event."""
        if not self._spool or waiting.body is None:
            return None
        try:
            waiting.kept = self._spool.keep(waiting.number, waiting.id, waiting.dedup_key, waiting.body)
        except SpoolFull as error:
            return error
        return None

    def _unwatch(self, waiting: Waiting) -> None:
        """Ends a call's part: its event has an outcome, or waits on disk, or is forgotten."""
        with self._settling:
            waiting.is_watched = False
            if waiting.outcome is not None:
                self._forget(waiting)  # another thread may have sent it while this one still wrote the file
            elif waiting.kept:
                waiting.body = None
            else:
                self._lanes.leave(waiting)

    # From a lane to a region -------------------------------------------------------------------------------------

    def _deliver(self, lane: Lane, waiting: Waiting) -> None:
        """Sends what stands in a lane up to an event; raises `Unreachable` when that does not succeed in time."""
        give_up_at = time.monotonic() + self._patience_s
        while waiting.outcome is None:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0 or not lane.lock.acquire(timeout=left_s):
                raise Unreachable({f"dedup key {waiting.dedup_key}": "earlier events of it are not delivered yet"})
            try:
                if waiting.outcome is None:
                    self._send_head(lane, 0.0 if self._spool else left_s)
            finally:
                lane.lock.release()

    def _send_head(self, lane: Lane, patience_s: float = 0.0) -> bool:
        """Sends the event whose turn it is; False when there is none. Raises `Unreachable`. Needs the lane's lock."""
        head = lane.head
        if head is None:
            return False
        outcome: Answer | Refused | Damaged
        try:
            body = self._with_routing_key(self._body(head))
            outcome = self._regions.send(head.id, body, patience_s=patience_s)
        except (Refused, Damaged) as error:
            outcome = error
        with self._settling:
            head.outcome = outcome
            if head.is_watched or isinstance(outcome, Answer):
                self._forget(head)
            else:
                self._set_aside(head, outcome)
        self._lanes.leave(head)
        return True

    def _body(self, waiting: Waiting) -> bytes:
        body = waiting.body
        if body is not None:
            return body
        if not self._spool or not waiting.kept:
            raise Damaged("its caller has been told that it is not delivered")
        return self._spool.read(waiting.kept)

    def _forget(self, waiting: Waiting) -> None:
        if self._spool and waiting.kept:
            self._spool.remove(waiting.kept)
            waiting.kept = None

    def _set_aside(self, waiting: Waiting, why: Refused | Damaged) -> None:
        if self._spool and waiting.kept:
            self._spool.set_aside(waiting.kept, REFUSED if isinstance(why, Refused) else DAMAGED, str(why))
            waiting.kept = None

    # In the background -------------------------------------------------------------------------------------------

    def _send_in_background(self) -> None:
        while not self._closed.is_set():
            self._work.wait()
            self._work.clear()
            while not self._closed.is_set() and not self._sweep_safely():
                self._closed.wait(self._regions.pause_s)

    def _sweep_safely(self) -> bool:
        try:
            return self._sweep()
        except Exception:  # noqa: BLE001 (a disk that fails today may work tomorrow: this thread outlives it)
            _log.exception("the background sender rests for %g s", AFTER_FAULT_S, extra={"action": "sender_failed"})
            self._closed.wait(AFTER_FAULT_S)
            return False

    def _sweep(self, give_up_at: float = float("inf")) -> bool:
        """Sends what stands in the lanes, in order; False when something may be left."""
        for lane in self._lanes.in_order():
            is_more = True
            while is_more:
                if self._closed.is_set() or time.monotonic() > give_up_at:
                    return False
                with lane.lock:
                    try:
                        is_more = self._send_head(lane)
                    except Unreachable:
                        return False
        return True
