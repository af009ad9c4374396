"""Batches: the writes of many rows, grouped by partition within limits, and what befell each of them.

Theory
------
Rows of one partition go in one unlogged batch: one message, one mutation, written as a whole. Amazon Keyspaces takes 30
rows in one; a cluster of ours would take megabytes, but what is in hand for one answer should be small beside all that
is in flight. What is larger goes alone.

A refused row must not take its neighbours down. A batch is refused as a whole, so what was in it is sent again one by
one, which finds the bad ones; what was written already is written again to no effect.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, NamedTuple

from tocsin.engines.cassandra.session import Batch, Session, Statement
from tocsin.engines.errors import EngineError, Refused

BATCH_BYTES_MAX: Final = 32 * 1024
STATEMENTS_MAX: Final = 100
STATEMENTS_MAX_KEYSPACES: Final = 30
STATEMENT_BYTES: Final = 64
"""Counted for each statement besides its values."""


class Unit(NamedTuple):
    """Statements for one partition that belong together: they are done as a whole, as far as one batch holds them.

    `bytes` is about the size of their values.
    """

    partition: Hashable
    statements: Sequence[Statement]
    bytes: int


async def write_units(session: Session, units: Sequence[Unit]) -> dict[int, EngineError]:
    """Writes the units; returns the errors of those that were not acknowledged whole, by index. Raises none."""
    groups = grouped(units, statements_max=statements_max(session))
    errors = await _write(session, units, groups)
    alone = sorted({i for group in groups if len(group) > 1 for i in group if isinstance(errors.get(i), Refused)})
    if alone:
        for index in alone:
            del errors[index]
        errors |= await _write(session, units, [[index] for index in alone])
    return errors


def statements_max(session: Session) -> int:
    """How many statements the cluster takes in one batch."""
    return STATEMENTS_MAX_KEYSPACES if session.stack.flavor == "keyspaces" else STATEMENTS_MAX


def grouped(units: Sequence[Unit], *, statements_max: int) -> list[list[int]]:
    """Which units, by index, go together: of one partition, within the limits, or one alone."""
    groups: list[list[int]] = []
    open_groups: dict[Hashable, tuple[list[int], int, int]] = {}
    for index, (partition, statements, size) in enumerate(units):
        more = len(statements)
        size_all = size + more * STATEMENT_BYTES
        group, count, used = open_groups.get(partition, (None, 0, 0))
        if group is None or count + more > statements_max or used + size_all > BATCH_BYTES_MAX:
            group, count, used = [], 0, 0
            groups.append(group)
        group.append(index)
        open_groups[partition] = group, count + more, used + size_all
    return groups


async def _write(session: Session, units: Sequence[Unit], groups: Iterable[list[int]]) -> dict[int, EngineError]:
    batches: list[Batch] = []
    members: list[list[int]] = []
    for group in groups:
        for batch in batches_of([units[index] for index in group], statements_max(session)):
            batches.append(batch)
            members.append(group)
    failed = await session.write(batches)
    return {index: error for place, error in failed.items() for index in members[place]}


def batches_of(units: Sequence[Unit], statements_max: int) -> list[Batch]:
    """One batch; of a unit that is too large for one as many as it takes."""
    statements = [statement for unit in units for statement in unit.statements]
    pieces = max(-(-len(statements) // statements_max), -(-sum(unit.bytes for unit in units) // BATCH_BYTES_MAX))
    if len(units) > 1 or pieces <= 1:
        return [statements]
    step = max(1, len(statements) // pieces)
    return [statements[start : start + step] for start in range(0, len(statements), step)]
