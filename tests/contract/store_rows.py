"""Rows for the contract suite of the store: each builder makes a valid one, and a test says only what matters to it."""

from tocsin.core.entries import Entry
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.incidents import Incident
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.progress import Anchor, Coordinates, ProgressRow, Runs, SourceProgress

SECOND = 1_700_000_000
PARENT = Parent("checkout", "db-7/disk")
ID = SECOND << 32 | 7


def key(id: int = ID, *, parent: Parent = PARENT, content: bytes = b"a request") -> RequestKey:
    return RequestKey(parent, id, digest(content))


def entry(
    of: RequestKey | None = None,
    *,
    received_us: int = 1_000,
    region: str = "a",
    action: str = "trigger",
    body: bytes = b"{}",
) -> Entry:
    return Entry(of or key(), received_us, region, 1, action, body)


def incident(
    of: RequestKey | None = None,
    *,
    status: str = "triggered",
    urgency: str = "high",
    created_us: int = 1_000,
    resolved_us: int | None = None,
    aliases: tuple[int, ...] = (),
) -> Incident:
    return Incident(
        of or key(),
        status,
        urgency,
        "critical",
        "disk full — 磁盘",
        "db-7",
        created_us,
        created_us,
        None,
        resolved_us,
        1,
        1,
        aliases,
    )


def kept(
    of: RequestKey | None = None,
    *,
    partition: int = 3,
    stage: Stage = Stage.HELD,
    since_us: int = 1_000,
    version: int = 1,
    reason: str = "refused",
) -> Kept:
    decisions = (Decision(since_us, "WAIT", "some peer has not answered", "b: silent"),)
    return Kept(
        of or key(), partition, stage, b"\x00record\xff", Kind.REJECTED, reason, since_us, 0, 1, decisions, version
    )


def progress(partition: int = 3, epoch: int = 1, *, low: int = 10, clean: bool = False) -> ProgressRow:
    coordinates = Coordinates("cluster", "requests", "incarnation", partition)
    source = SourceProgress(
        coordinates, Runs(low, [(low + 5, low + 9)]), Anchor(low - 1, digest(b"below")), low + 20, 99
    )
    return ProgressRow(partition, epoch, clean, {"requests": source})
