"""Queries: many reads at a time, of which only so many are under way."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tocsin.engines.cassandra.flight import Row
from tocsin.engines.cassandra.session import Session

AT_A_TIME: Final = 256
VALUES_MAX: Final = 100
"""As many values as Amazon Keyspaces takes in one IN."""


async def execute_all(session: Session, cql: str, queries: Sequence[Sequence[Any]]) -> list[list[Row]]:
    """The rows of a statement for each of these values. Raises what `Session.execute` does."""
    found: list[list[Row]] = []
    for start in range(0, len(queries), AT_A_TIME):
        some = queries[start : start + AT_A_TIME]
        found += await asyncio.gather(*(session.execute(cql, values) for values in some))
    return found


def chunks(values: Sequence[bytes]) -> list[list[bytes]]:
    """The values for an IN, as many at a time as it takes."""
    return [list(values[start : start + VALUES_MAX]) for start in range(0, len(values), VALUES_MAX)]
