"""The header with the client's id: which are taken, and that sending again is the same request."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.test_events import JSON, encoded, event
from tocsin.core.events import InvalidEvent, derived_dedup_key, parse_event
from tocsin.core.idempotency import AHEAD_S_MAX, client_id
from tocsin.core.ids import format_id

NOW_S = 1_700_000_000
RETENTION_S = 604_800.0


def read(*given_values: str) -> int | None:
    return client_id(given_values, now_s=NOW_S, retention_s=RETENTION_S)


def id_of(age_s: int) -> int:
    return (NOW_S - age_s) << 32 | 0xFC3540A0


def error_of(given_values: Sequence[str]) -> str:
    with pytest.raises(InvalidEvent) as caught:
        read(*given_values)
    (error,) = caught.value.errors
    return error


def test_without_the_header_there_is_no_id() -> None:
    assert read() is None


@pytest.mark.parametrize("age_s", [0, 1, 86_400, int(RETENTION_S), -1, -AHEAD_S_MAX])
def test_an_id_is_taken_at_any_age_within_retention(age_s: int) -> None:
    assert read(format_id(id_of(age_s))) == id_of(age_s)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (["0x5d684054fc3540a0", "0x5d684054fc3540a0"], "is there 2 times"),
        ([""], "not a temporal id"),
        (["6ba7b810-9dad-11d1-80b4-00c04fd430c8"], "not a temporal id"),
        (["5d684054fc3540a0"], "not a temporal id"),
        (["0X5D684054FC3540A0"], "not a temporal id"),
        (['"0x5d684054fc3540a0"'], "not a temporal id"),
        (["0x5d684054fc3540a0.0123456789ab"], "not a temporal id"),
        (["x" * 100_000], "not a temporal id"),
        ([format_id(id_of(int(RETENTION_S) + 1))], "was minted 604801 s ago, and the log keeps requests for 604800 s"),
        ([format_id(id_of(-AHEAD_S_MAX - 1))], "lies 61 s in the future"),
        ([format_id(2**64 - 1)], "in the future"),
        ([format_id(0)], "was minted 1700000000 s ago"),
    ],
)
def test_anything_else_is_refused_and_the_header_named(values: list[str], what: str) -> None:
    error = error_of(values)

    assert error.startswith("header 'Idempotency-Key' ")
    assert what in error
    assert len(error) < 300


@given(st.lists(st.text()))
def test_no_header_raises_anything_else(values: list[str]) -> None:
    found, errors = None, [""]
    try:
        found = read(*values)
    except InvalidEvent as error:
        errors = error.errors
    assert errors
    assert found is None or [format_id(found)] == values


@given(JSON, st.randoms())
def test_a_derived_key_is_that_of_the_id_and_the_event_however_it_is_spelt(value: Any, chance: Any) -> None:
    whole = {**event(more=value), "dedup_key": None}
    items = list(whole.items())
    chance.shuffle(items)
    one, same = parse_event(encoded(whole)), parse_event(json.dumps(dict(items), indent=1).encode())
    other = parse_event(encoded({**whole, "client": "another"}))

    key = derived_dedup_key(one, id_of(0))
    assert key == derived_dedup_key(same, id_of(0))
    assert len(key) == 32
    assert len({key, derived_dedup_key(one, id_of(1)), derived_dedup_key(other, id_of(0))}) == 3
