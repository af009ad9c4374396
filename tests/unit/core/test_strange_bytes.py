"""Whatever bytes stand in a log or ledger, reading them raises nothing: a strange record must not stop a partition."""

import pytest

from tocsin.core.requests import Record, Unreadable, decode_record
from tocsin.core.statements import Unknown, decode_statement

STRANGE = [
    b"",
    b"\xff",
    b"null",
    b"[" * 100_000,
    b'{"type":"opened","x":' + b"[" * 100_000,
    b'{"type":"opened","replica":["\xff","b"],"incarnation":1,"database":"x"}',
    b'{"type":"opened","replica":["a","b"],"incarnation":1e400,"database":"x"}',
]


@pytest.mark.parametrize("raw", STRANGE, ids=range(len(STRANGE)))
def test_a_strange_statement_is_unknown(raw: bytes) -> None:
    assert decode_statement(raw, raw) == Unknown(raw, raw)
    assert decode_statement(None, raw) == Unknown(b"", raw)


@pytest.mark.parametrize("raw", STRANGE, ids=range(len(STRANGE)))
def test_a_strange_record_is_unreadable(raw: bytes) -> None:
    assert isinstance(decode_record(Record(raw, raw, ((raw[:20].decode(errors="replace"), raw),))), Unreadable)
