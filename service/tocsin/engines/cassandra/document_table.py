"""Documents in Cassandra, and the store's identity: the rows that are written by comparing, and in no other way.

Conditional and plain writes of one row must never be mixed: they go by different clocks.
"""

import uuid

from tocsin.engines.cassandra.session import Session
from tocsin.engines.errors import Misconfigured
from tocsin.engines.store import Document

_SELECT = "SELECT name, version, value FROM documents"
_BY_NAME = f"{_SELECT} WHERE name = ?"
_FIRST = "INSERT INTO documents (name, version, value) VALUES (?, ?, ?) IF NOT EXISTS"
_AFTER = "UPDATE documents SET version = ?, value = ? WHERE name = ? IF version = ?"
_ABOVE = "UPDATE documents SET version = ?, value = ? WHERE name = ? IF version < ?"
_IDENTITY = "SELECT uuid FROM identity WHERE name = 'outcomes'"
_NEW_IDENTITY = "INSERT INTO identity (name, uuid) VALUES ('outcomes', ?) IF NOT EXISTS"


class DocumentTable:
    """The documents of one keyspace."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def identity(self, *, read_only: bool) -> str:
        """The identity of the data, made at the first call unless `read_only`, which raises `Misconfigured`."""
        rows = await self._session.execute(_IDENTITY)
        if not rows:
            if read_only:
                raise Misconfigured(
                    f"the keyspace {self._session.stack.keyspace} was never used by a creator: is it the right one?"
                )
            await self._session.execute(_NEW_IDENTITY, (uuid.uuid4().hex,))
            rows = await self._session.execute(_IDENTITY)
        [(found,)] = rows
        return str(found)

    async def by_name(self, name: str) -> Document | None:
        """The document of this name."""
        rows = await self._session.execute(_BY_NAME, (name,))
        return Document(*rows[0]) if rows else None

    async def by_prefix(self, prefix: str) -> list[Document]:
        """All documents whose names start with the prefix, by name. They are few: all are read."""
        rows = await self._session.execute(_SELECT)
        return sorted(Document(*row) for row in rows if row[0].startswith(prefix))

    async def put(self, document: Document, after: int | None) -> bool:
        """Writes a document if the version there allows it; whether it was written."""
        name, version, value = document
        if after == 0:
            return await self._applied(_FIRST, (name, version, value))
        if after is not None:
            return version > after and await self._applied(_AFTER, (version, value, name, after))
        above = _ABOVE, (version, value, name, version)
        if await self._applied(*above):
            return True
        if await self.by_name(name) is not None:
            return False
        return await self._applied(_FIRST, (name, version, value)) or await self._applied(*above)

    async def _applied(self, cql: str, values: tuple[object, ...]) -> bool:
        rows = await self._session.execute(cql, values)
        return bool(rows[0][0])
