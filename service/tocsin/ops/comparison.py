"""Comparison: what differs between regions that should hold the same, named by region, key and field.

Theory
------
A row names its own content: the digest in a request's key covers the client's part of it. So of two entries with one
key and different bodies, the one that was changed is known, without a third region to vote. A folded incident follows
from its parent's entries: folded anew from the region's *own* entries, it tells whether the projection or the entries
are at fault. What neither digest nor fold can tell is decided by the majority, where there is one; with two regions
both are named.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tocsin.core.entries import Entry
from tocsin.core.events import client_digest
from tocsin.core.ids import RequestKey, digest, format_id
from tocsin.core.incidents import Incident, fold
from tocsin.core.kept import Kept, Stage
from tocsin.core.requests import H_RECEIVED, H_REGION, Record, Request, decode_record

SHOWN_MAX: Final = 40
"""Of a value so many characters are shown, around the first that differs."""
ENTRY_FIELDS: Final = ("received_us", "region", "schema", "action", "body")
INCIDENT_FIELDS: Final = Incident.__struct_fields__
PER_ARRIVAL: Final = frozenset({H_RECEIVED, H_REGION})
"""Headers in which two records of one request may differ: of a request that was delivered twice each region keeps the
record that failed there."""


class Difference(NamedTuple):
    """One thing that is not the same everywhere, or not what it says it is.

    `region` is the one at fault where that can be told, else all that disagree, with commas. `key` is the printed
    request key (of an incident: its opening entry's). `kind` is entry, incident, kept or mark.
    """

    region: str
    kind: str
    key: str
    field: str
    text: str


class KeptFacts(NamedTuple):
    """A kept row, as far as it is compared; its record is kept as a digest a field, so that many fit in memory."""

    stage: Stage
    since_us: int
    arrived_us: int
    reason: str
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, kept: Kept) -> "KeptFacts":
        """The facts of a row; raises ValueError when its record is damaged."""
        record = Record.decode(kept.record)
        content = decode_record(record)
        arrived_us = content.received_us if isinstance(content, Request) else record.timestamp_ms * 1000
        parts = [("record.key", _shape(record.key or b"")), ("record.value", _shape(record.value))]
        parts += [
            (f"record.headers.{name}", _shape(value)) for name, value in record.headers if name not in PER_ARRIVAL
        ]
        return cls(kept.stage, kept.since_us, arrived_us, kept.reason, tuple(parts))


def _shape(raw: bytes) -> str:
    """Bytes as a digest with their length and beginning: equal for equal bytes, and something to look at."""
    return f"{len(raw)} bytes, digest {digest(raw).hex()[:16]}, beginning {shown(raw[:SHOWN_MAX])}"


# Entries -------------------------------------------------------------------------------------------------------------


def compare_entry(rows: Mapping[str, Entry]) -> Iterator[Difference]:
    """What is wrong with the rows that regions have under one key."""
    key = next(iter(rows.values())).key
    changed = [region for region, row in rows.items() if client_digest(key.parent, row.body) != key.digest]
    sound = [region for region in rows if region not in changed]
    for region in changed:
        others = {region: rows[region].body} | {other: rows[other].body for other in sound[:1]}
        text = f"does not have the digest of its own key: the row was changed; {_side_by_side(others)}"
        yield Difference(region, "entry", key.printed, "body", text)
    if len({row.row_digest() for row in rows.values()}) == 1:
        return
    for field in ENTRY_FIELDS:
        if field == "body" and changed:
            continue
        yield from _disagreement({region: getattr(row, field) for region, row in rows.items()}, "entry", key, field)


def missing_entry(key: RequestKey, rows: Mapping[str, Entry], missing: Sequence[str]) -> Difference:
    """Some regions have the row of a key and others do not: the smaller part is named, of two alike those without."""
    have = f"received {rows[next(iter(rows))].received_us} us"
    if len(rows) < len(missing):
        text = f"is only here ({have}), and not in {', '.join(missing)}"
        return Difference(",".join(rows), "entry", key.printed, "row", text)
    return Difference(",".join(missing), "entry", key.printed, "row", f"is missing; {', '.join(rows)} has it ({have})")


# Incidents -----------------------------------------------------------------------------------------------------------


def compare_incidents(
    entries: Mapping[str, Sequence[Entry]], incidents: Mapping[str, Sequence[Incident]]
) -> Iterator[Difference]:
    """What is wrong with the incidents of one parent, given each region's entries without the dropped ones."""
    sound: dict[str, dict[RequestKey, Incident]] = {}
    for region, stored in incidents.items():
        folded = {incident.key: incident for incident in fold(entries[region])}
        there = {incident.key: incident for incident in stored}
        if folded == there:
            sound[region] = there
            continue
        for key in sorted({*folded, *there}):
            yield from _against_fold(region, key, folded.get(key), there.get(key))
    for key in sorted({key for there in sound.values() for key in there}):
        rows = {region: there[key] for region, there in sound.items() if key in there}
        missing = [region for region in sound if region not in rows]
        if missing:
            text = f"is missing; {', '.join(rows)} has it (each follows from the entries of its own region)"
            yield Difference(",".join(missing), "incident", key.printed, "row", text)
        for field in INCIDENT_FIELDS:
            yield from _disagreement(
                {region: getattr(row, field) for region, row in rows.items()}, "incident", key, field
            )


def _against_fold(
    region: str, key: RequestKey, folded: Incident | None, there: Incident | None
) -> Iterator[Difference]:
    if folded is None or there is None:
        text = "does not follow from the entries" if folded is None else "is missing, and follows from the entries"
        yield Difference(region, "incident", key.printed, "row", text)
        return
    for field in INCIDENT_FIELDS:
        stored, right = getattr(there, field), getattr(folded, field)
        if stored != right:
            stored_text, right_text = _windows([stored, right])
            text = f"is {stored_text}, and {right_text} follows from the entries"
            yield Difference(region, "incident", key.printed, field, text)


# What is kept, and marks ---------------------------------------------------------------------------------------------


def compare_records(key: RequestKey, rows: Mapping[str, KeptFacts]) -> Iterator[Difference]:
    """What differs between the records that regions keep of one request."""
    parts = {region: dict(facts.parts) for region, facts in rows.items()}
    for field in sorted({name for part in parts.values() for name in part}):
        values = {region: part.get(field, "absent") for region, part in parts.items()}
        yield from _disagreement(values, "kept", key, field, whole=True)


def compare_marks(key: RequestKey, marks: Mapping[str, tuple[int, bool] | None]) -> Iterator[Difference]:
    """What differs between the marks that regions have on one request."""
    words = {region: _mark_text(mark) for region, mark in marks.items()}
    yield from _disagreement(words, "mark", key, "mark", whole=True)


def _mark_text(mark: tuple[int, bool] | None) -> str:
    if mark is None:
        return "no mark"
    number, dropped = mark
    return f"{'dropped' if dropped else 'lifted'} by word {number}"


# Values --------------------------------------------------------------------------------------------------------------


def _disagreement(
    values: Mapping[str, Any], kind: str, key: RequestKey, field: str, *, whole: bool = False
) -> Iterator[Difference]:
    """A difference, unless all values are equal: named by the regions that are outvoted, or all."""
    texts = {region: repr(value) for region, value in values.items()}
    counted = Counter(texts.values()).most_common()
    if len(counted) < 2:  # noqa: PLR2004 - two that differ
        return
    outvoted = [region for region, text in texts.items() if text != counted[0][0]]
    regions = outvoted if counted[0][1] > len(texts) / 2 else list(texts)
    text = "; ".join(f"{r}: {v}" for r, v in values.items()) if whole else _side_by_side(values)
    yield Difference(",".join(regions), kind, key.printed, field, text)


def _side_by_side(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{region}: {text}" for region, text in zip(values, _windows(list(values.values())), strict=True))


def _windows(values: Sequence[Any]) -> list[str]:
    """The values, shortened to where they first differ."""
    if not all(isinstance(value, type(values[0])) for value in values) or not isinstance(values[0], bytes | str):
        return [shown(value) for value in values]
    first = next((at for at, some in enumerate(zip(*values, strict=False)) if len(set(some)) > 1), 0)
    start = max(0, first - SHOWN_MAX // 2) if max(map(len, values)) > SHOWN_MAX else 0
    place = f" (from {'byte' if isinstance(values[0], bytes) else 'character'} {start})" if start else ""
    return [f"{shown(value[start : start + SHOWN_MAX])}{place}" for value in values]


def shown(value: Any) -> str:
    """A value as text for a person, shortened."""
    if isinstance(value, RequestKey):
        return value.printed
    if isinstance(value, tuple):
        return "[" + ", ".join(format_id(item) for item in value[:3]) + (", …]" if len(value) > 3 else "]")  # noqa: PLR2004
    text = repr(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)
    return text if len(text) <= 2 * SHOWN_MAX else text[: 2 * SHOWN_MAX] + "…"
