"""Opening engines: where a region file's words become adapters, and the fault switch goes around them."""

import time
from pathlib import Path

from tocsin.engines.audit import FILE as AUDIT_FILE
from tocsin.engines.audit import AuditTrail, Deed
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.faulty import FaultyLog, FaultyStore
from tocsin.engines.log import Log
from tocsin.engines.store import Store
from tocsin.engines.tokens import Token
from tocsin.settings import Settings
from tocsin.topology import MIRRORED, CassandraStack, KafkaLog, Region, SqliteStack
from tocsin.topology import EmbeddedLog as EmbeddedSection


def open_log(region: Region, settings: Settings) -> Log:
    """A region's log, as the roles of that region see it."""
    log = _log(region, settings)
    switch = _switch(settings)
    return FaultyLog(log, switch, region.name) if switch else log


def open_mirrored_log(region: Region, settings: Settings, *, by: Region) -> Log:
    """A region's log, as another region's mirror or intake sees it: what is cut between the two is cut here."""
    log = _log(region, settings)
    switch = _switch(settings)
    return FaultyLog(log, switch, by.name, port="mirror", peer=region.name) if switch else log


def open_store(region: Region, stack: str, settings: Settings, *, read_only: bool = False) -> Store:
    """A stack's outcome store; raises `Misconfigured` (at first use) when it is read only and was never made."""
    store = _store(region.stacks[stack], settings, read_only=read_only)
    switch = _switch(settings)
    return FaultyStore(store, switch, region.name) if switch else store


def absent_log(region: Region, settings: Settings) -> str | None:
    """Why a region's log cannot be opened without being made: for those who only look."""
    if isinstance(region.log, EmbeddedSection) and not (path := settings.path(region.log.path)).exists():
        return f"there is no log at {path}: has the region ever run here?"
    return None


def audit_trail(settings: Settings, region: str) -> AuditTrail:
    """A region's audit trail."""
    return AuditTrail(audit_path(settings, region), lambda: time.time_ns() // 1000)


def audit_tokens(settings: Settings, deed: Deed, by: str, token: Token, **more: object) -> None:
    """Writes down what was done to a token: in the trails of all regions of the data directory, whose token it is."""
    about = {"token_id": token.id, "name": token.name, "scope": token.scope, "services": token.services}
    for name in [settings.region] if settings.region else settings.topology().names:
        audit_trail(settings, name).changed(deed, by=by, **about, **more)


def audit_path(settings: Settings, region: str) -> Path:
    """Where a region's audit trail is."""
    return settings.path(Path(region)) / AUDIT_FILE


def _log(region: Region, settings: Settings) -> Log:
    match region.log:
        case EmbeddedSection(path=path):
            return EmbeddedLog(settings.path(path))
        case KafkaLog() as section:
            from tocsin.engines.kafka.log import KafkaLog as Kafka  # noqa: PLC0415 - its client is for its users only

            mirrored = {peer.mirror_prefix + topic for peer in region.peers for topic in MIRRORED}
            return Kafka(section, settings.data_dir, mirrored=mirrored)


def _store(stack: SqliteStack | CassandraStack, settings: Settings, *, read_only: bool) -> Store:
    match stack:
        case SqliteStack(path=path):
            return EmbeddedStore(settings.path(path), journal=settings.journal, read_only=read_only)
        case CassandraStack() as section:
            from tocsin.engines.cassandra.store import CassandraStore  # noqa: PLC0415 - its client is for its users only

            return CassandraStore(section, settings.data_dir, read_only=read_only)


def _switch(settings: Settings) -> FaultSwitch | None:
    return FaultSwitch(settings.path(settings.faults_file)) if settings.faults_file else None
