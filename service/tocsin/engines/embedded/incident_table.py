"""Folded incidents in the embedded store: the state as one value, and beside it the columns that lists ask for."""

# ruff: noqa: S608 - statements are put together from column names and placeholders of this module alone

import sqlite3
from collections.abc import Sequence
from itertools import groupby

import msgspec

from tocsin.core.ids import Parent
from tocsin.core.incidents import Incident, IncidentFilter, Sort, SortBy
from tocsin.engines.embedded.schema import Row, id_column, key_columns, parent_of, places, rows_of

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Incident)


def replace(connection: sqlite3.Connection, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
    """Replaces the incidents of a parent when the version is above the one there."""
    if _is_newer(connection, parent, version):
        connection.execute("DELETE FROM incidents WHERE parent = ?", (parent.place,))
        _insert(connection, incidents)


def update(connection: sqlite3.Connection, parent: Parent, changed: Sequence[Incident], version: int) -> None:
    """Writes incidents of a parent beside its others when the version is above the one there."""
    if _is_newer(connection, parent, version):
        keys = [key_columns(incident.key) for incident in changed]
        connection.executemany("DELETE FROM incidents WHERE parent = ? AND id = ? AND digest = ?", keys)
        _insert(connection, changed)


def _is_newer(connection: sqlite3.Connection, parent: Parent, version: int) -> bool:
    """Whether the version is above that of the parent's incidents; if so, it is theirs from now on."""
    statement = """
        INSERT INTO folds (parent, version) VALUES (?, ?)
        ON CONFLICT (parent) DO UPDATE SET version = excluded.version WHERE excluded.version > folds.version"""
    return connection.execute(statement, (parent.place, version)).rowcount == 1


def _insert(connection: sqlite3.Connection, incidents: Sequence[Incident]) -> None:
    for incident in incidents:
        row = connection.execute(
            """INSERT INTO incidents
            (parent, id, digest, service, dedup_key, status, urgency, created_us, resolved_us, state)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            _row_of(incident),
        ).lastrowid
        names = {incident.key.id, *incident.aliases}
        connection.executemany("INSERT INTO incident_names VALUES (?, ?)", [(id_column(name), row) for name in names])


def of_parent(connection: sqlite3.Connection, parent: Parent) -> list[Incident]:
    """The incidents of a parent, oldest first."""
    query = "SELECT state FROM incidents WHERE parent = ? ORDER BY created_us, id, digest"
    return [_decoder.decode(state) for (state,) in rows_of(connection, query, parent.place)]


def find(connection: sqlite3.Connection, where: IncidentFilter) -> list[Incident]:
    """The incidents that match; those that the order holds to be equal by id, so that pages never overlap."""
    conditions, values = _conditions(where)
    query = f"SELECT state FROM incidents WHERE {conditions} ORDER BY {_order(where.sort)} LIMIT ? OFFSET ?"
    return [_decoder.decode(state) for (state,) in rows_of(connection, query, *values, where.limit, where.offset)]


def count(connection: sqlite3.Connection, where: IncidentFilter) -> int:
    """How many incidents match."""
    conditions, values = _conditions(where)
    return int(rows_of(connection, f"SELECT count(*) FROM incidents WHERE {conditions}", *values)[0][0])


def _order(sort: Sequence[Sort]) -> str:
    """The columns in order. SQLite knows an index from a list that begins with its columns, all in one direction."""
    way = {True: "DESC", False: "ASC"}
    # As words `high` comes before `low`.
    given: dict[str, str] = {key.by: way[key.descending ^ (key.by is SortBy.URGENCY)] for key in sort}
    rest = way[sort[-1].descending if sort else True]
    for column in ("created_us", "id", "parent", "digest"):
        given.setdefault(column, rest)
    return ", ".join(f"{column} {direction}" for column, direction in given.items())


def scan(connection: sqlite3.Connection, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
    """The incidents of the next `limit` parents that have any, in order of the parents' places."""
    query = """
        SELECT parent, state FROM incidents
        WHERE parent IN (SELECT DISTINCT parent FROM incidents WHERE parent > ? ORDER BY parent LIMIT ?)
        ORDER BY parent, created_us, id, digest"""
    rows = rows_of(connection, query, after.place if after else b"", limit)
    return [
        (parent_of(parent), [_decoder.decode(state) for _, state in some])
        for parent, some in groupby(rows, key=lambda row: row[0])
    ]


def _conditions(where: IncidentFilter) -> tuple[str, list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    for column, wanted in (("service", where.services), ("status", where.statuses), ("urgency", where.urgencies)):
        if wanted:
            conditions.append(f"{column} IN ({places(len(wanted))})")
            values.extend(wanted)
    for condition, value in (
        ("dedup_key = ?", where.dedup_key),
        (
            "row IN (SELECT incident FROM incident_names WHERE id = ?)",
            None if where.id is None else id_column(where.id),
        ),
        ("created_us >= ?", where.since_us),
        ("created_us < ?", where.until_us),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return " AND ".join(conditions) or "TRUE", values


def _row_of(incident: Incident) -> Row:
    return (
        *key_columns(incident.key),
        incident.parent.service,
        incident.parent.dedup_key,
        incident.status,
        incident.urgency,
        incident.created_us,
        incident.resolved_us,
        _encoder.encode(incident),
    )
