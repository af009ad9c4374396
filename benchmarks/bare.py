"""Bare apps that roles are measured against: each does the one thing with the engine that the role cannot do without.

They are served as the role is, in its frame: the same server with the same options and bounds, the same TLS and event
loop, an admin port beside it. They check nothing, count nothing and say nothing of what an answer lacks.

    python -m benchmarks.bare intake     appends each body to this region's log, and answers 202
    python -m benchmarks.bare querier    runs the statements of a read, and answers with the rows

Both use the engine as the role does, in a thread of its own: a server that waits for a disk in its event loop is
quicker by a hop, until the disk is slow.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import msgspec

from tocsin.core.ids import parse_id
from tocsin.core.requests import Record
from tocsin.engines.embedded.database import Database
from tocsin.engines.embedded.schema import STORE
from tocsin.engines.opening import open_log
from tocsin.engines.topics import make_topics
from tocsin.roles import process
from tocsin.roles.asgi import App, Receive, Scope, Send
from tocsin.roles.process import Frame, Service
from tocsin.settings import Settings

PAGE: Final = 25
_INCIDENT: Final = (
    "SELECT parent, state FROM incidents JOIN incident_names ON incident = row WHERE incident_names.id = ?"
)
_ENTRIES: Final = """
    SELECT entries.parent, entries.id, entries.digest, received_us, region, schema, action, body
    FROM entries LEFT JOIN marks USING (parent, id, digest)
    WHERE entries.parent = ? AND dropped IS NOT TRUE ORDER BY received_us DESC, entries.id DESC LIMIT ?"""


def reading(file: Path) -> closing[sqlite3.Connection]:
    """The store in a file, for SQL."""
    return closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True))


def rows_of(connection: sqlite3.Connection, temporal_id: int, *of: str) -> list[tuple[Any, ...]]:
    """The row of an incident; with `log_entries` those of the newest entries of its parent, as it has one incident."""
    [incident] = connection.execute(_INCIDENT, (temporal_id.to_bytes(8, "big"),)).fetchall()
    return connection.execute(_ENTRIES, (incident[0], PAGE)).fetchall() if of else [incident]


@asynccontextmanager
async def intake(frame: Frame) -> AsyncIterator[Service]:
    log = open_log(frame.region, frame.settings)
    await make_topics(log, frame.region)
    topic, partitions = frame.region.requests, frame.region.partitions
    appended = 0

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal appended
        body = b""
        has_more = True
        while has_more:
            message = await receive()
            body += message["body"]
            has_more = message.get("more_body", False)
        appended += 1
        await log.append(topic, appended % partitions, [Record(b"key", body)])
        await _answer(send, 202, b'{"status":"success"}')

    yield _service(app)
    await log.close()


@asynccontextmanager
async def querier(frame: Frame) -> AsyncIterator[Service]:
    store = Database(frame.settings.path(frame.region.files[f"stacks.{frame.stack}.path"]), STORE, read_only=True)

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        # /incidents/<id>, or /incidents/<id>/log_entries
        _, _, printed, *of = scope["path"].split("/")
        rows = await store.read(lambda connection: rows_of(connection, parse_id(printed), *of))
        body = b",".join(row[-1] for row in rows) if of else msgspec.json.encode(msgspec.msgpack.decode(rows[0][1]))
        await _answer(send, 200, b"[" + body + b"]")

    yield _service(app)
    await store.close()


def _service(app: App) -> Service:
    async def run(stopping: asyncio.Event) -> None:
        await stopping.wait()

    async def unready() -> list[str]:
        return []

    return Service(run, unready, app)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    [role] = sys.argv[1:]
    frame = Frame.load(role, Settings.load(region="bench"))
    process.run(frame, {"intake": intake, "querier": querier}[role](frame))


if __name__ == "__main__":
    main()
