"""Reads that a history is judged by: one request from a querier, and everything in a store."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import httpx2

from tocsin.core.completeness import complete_until
from tocsin.core.kept import Stage
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.ops.documents import drained_regions
from tocsin.ops.history.format import Call, KeptRow, Row
from tocsin.ops.history.recorder import Recorder

PAGE: Final = 500
"""Rows of one part."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ACCEPT: Final = "application/vnd.pagerduty+json;version=2"
FOUND, PENDING, ABSENT = httpx2.codes.OK, httpx2.codes.ACCEPTED, httpx2.codes.NOT_FOUND


class Querier(NamedTuple):
    """Where a region is read, and by what token."""

    region: str
    url: str
    token: str


async def get(
    recorder: Recorder, process: str, client: httpx2.AsyncClient, querier: Querier, request: str
) -> bool | None:
    """Asks for one request by its printed key. Returns whether it is there; None when that is not known.

    A request that is set aside or quarantined is neither: the answer names it, so nothing is claimed to be absent. Only
    alerts can be asked for: a querier shows no change events among log entries.
    """
    op = recorder.invoke(Call.GET, process, querier.region, request=request)
    headers = {"Authorization": f"Token token={querier.token}", "Accept": ACCEPT}
    try:
        answer = await client.get(f"{querier.url}/log_entries/{request}", headers=headers)
    except (httpx2.HTTPError, ssl.SSLError) as error:
        recorder.info(op, f"{type(error).__name__}: {error}")
        return None
    if answer.status_code not in (FOUND, PENDING, ABSENT):
        recorder.info(op, f"answers {answer.status_code}")
        return None
    pending = answer.status_code == PENDING or request in answer.headers.get("tocsin-set-aside", "")
    found = answer.status_code == FOUND
    until = answer.headers.get("tocsin-complete-until", "unknown")
    until_us = None if until == "unknown" else (datetime.fromisoformat(until) - EPOCH) // timedelta(microseconds=1)
    drained = [name for each in answer.headers.get("tocsin-drained", "").split(",") if (name := each.strip())]
    recorder.ok(op, found=found, pending=pending, complete_until_us=until_us, drained=drained)
    return None if pending else found


async def scan(
    recorder: Recorder,
    process: str,
    region: str,
    store: Store,
    *,
    partitions: int,
    regions: Sequence[str],
    final: bool = False,
) -> None:
    """Reads everything in a region's store. `final`: a quiet time has passed, so everything must be there.

    A store that does not answer to the end is recorded as `info`. How complete the store says it is, is read first:
    read afterwards, it would vouch for what came meanwhile.
    """
    op = recorder.invoke(Call.SCAN, process, region, final=final)
    try:
        drained = await drained_regions(store)
        until_us = complete_until(await store.progress(), partitions, regions, drained)
        after = None
        while entries := await store.scan_entries(after, PAGE):
            recorder.found(op, entries=map(Row.of, entries))
            after = entries[-1].key
        kept = [KeptRow(row.key.printed, row.stage) for stage in Stage for row in await store.kept_rows(stages=[stage])]
        for start in range(0, len(kept), PAGE):
            recorder.found(op, kept=kept[start : start + PAGE])
        dropped = [key.printed for key, _, is_dropped in await store.scan_marks() if is_dropped]
        recorder.found(op, dropped=dropped)
    except (EngineError, ValueError) as error:
        recorder.info(op, f"{type(error).__name__}: {error}")
    else:
        recorder.ok(op, complete_until_us=until_us, drained=drained)
