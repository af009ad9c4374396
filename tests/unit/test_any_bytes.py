"""Every decoder, fed with anything: bytes at random, and good bytes with something cut, changed, repeated or nested.

Whatever the bytes, the answer is the documented error or a value that encodes back to itself; never another exception.
What stands in a log, a ledger, a store or a file is not ours to choose: one strange record must not stop a partition,
and one damaged row must be named, not crash whoever reads it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.history import goldens
from tocsin.config import ConfigError, parse_yaml
from tocsin.core.acts import act_of
from tocsin.core.budget import Budget
from tocsin.core.dialects.alertmanager import parse_alertmanager_event
from tocsin.core.dialects.events_v1 import parse_v1_event
from tocsin.core.dialects.nagios import parse_nagios_event
from tocsin.core.directory import DirectoryRecord, InvalidRecord, decode_directory, encode_directory, name_of
from tocsin.core.documents import PartitionStatus, RegionWords, ServicesSeen
from tocsin.core.entries import Entry
from tocsin.core.events import InvalidEvent, entry_of, parse_change_event, parse_event
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import fold
from tocsin.core.paging.people import Method, Person, Rule
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Record, Request, Tick, Unreadable, decode_record, encode_request, encode_tick
from tocsin.core.statements import Unknown, decode_statement, encode_statement
from tocsin.engines import audit
from tocsin.engines.directory_file import parse_directory
from tocsin.engines.tokens import TokenFile
from tocsin.topology import load_topology

KEY = "e93facc04764012d7bfb002500d5d1a6"
LOCAL = Path(__file__).parents[2] / "regions" / "local"
GOLDEN = goldens.folders()[-1]
RECORDS = [record for _, record in goldens.records(GOLDEN, "a", "requests")][:60]
STATEMENTS = [record for _, record in goldens.records(GOLDEN, "a", "ledger")]
ROWS = goldens.Rows(GOLDEN, "a")
PAYLOAD = {"summary": "disk full", "source": "db-7", "severity": "critical", "custom_details": {"free": 0}}
EVENT = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "k", "payload": PAYLOAD, "links": [{"href": "x"}]}
V1 = {"service_key": KEY, "event_type": "trigger", "description": "d", "contexts": [{"type": "link", "href": "x"}]}
GROUP = {"groupKey": "{}", "status": "firing", "alerts": [{"status": "firing", "labels": {"severity": "page"}}]}
FORM = {
    "CONTACTPAGER": KEY,
    "NOTIFICATIONTYPE": "PROBLEM",
    "pd_nagios_object": "host",
    "HOSTNAME": "web-01",
}
DIRECTORY = f'services: [{{id: a, name: A, routing_keys: ["{KEY}"]}}]\nusers: [{{id: u, name: U, email: u@e.org}}]\n'


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


class Decoder(NamedTuple):
    """What is fed: the decoder, what it may raise, the way back (None: there is none), and good bytes."""

    decode: Callable[[bytes], Any]
    raises: tuple[type[Exception], ...]
    encode: Callable[[Any], bytes] | None
    good: list[bytes]


def _act(raw: bytes) -> Any:
    entry = Entry(RequestKey(Parent("s", "k"), 1, b"d" * 16), 1, "a", 2, "trigger", raw)
    return act_of(entry), fold([entry])


def _entry(raw: bytes) -> Any:
    return entry_of(Request(RequestKey(Parent("s", "k"), 1, b"d" * 16), 1, "a", 2, raw))


def _statement(raw: bytes) -> bytes:
    statement = decode_statement(b"key", raw)
    return raw if isinstance(statement, Unknown) else encode_statement(statement)[1]


ANN = Person(
    "ann", "Ann", "ann@example.org", (Method("mail", "email", "ann@example.org"),), (Rule("r", "mail", 300.0),)
)
SOURCE = SourceProgress(Coordinates("c", "requests", "1", 0), Runs(3, [(5, 9)]))
DECODERS = {
    "event": Decoder(parse_event, (InvalidEvent,), None, [dumped(EVENT)]),
    "change event": Decoder(parse_change_event, (InvalidEvent,), None, [dumped(EVENT)]),
    "event v1": Decoder(parse_v1_event, (InvalidEvent,), None, [dumped(V1)]),
    "alertmanager": Decoder(lambda raw: parse_alertmanager_event(raw, KEY), (InvalidEvent,), None, [dumped(GROUP)]),
    "nagios": Decoder(parse_nagios_event, (InvalidEvent,), None, [urlencode(FORM).encode()]),
    "request body": Decoder(_entry, (InvalidEvent,), None, [record.value for record in RECORDS]),
    "act": Decoder(_act, (), None, [record.value for record in RECORDS]),
    "parent": Decoder(Parent.decode, (ValueError,), Parent.encode, [b"checkout\0disk"]),
    "record": Decoder(Record.decode, (ValueError,), Record.encode, [record.encode() for record in RECORDS]),
    "statement": Decoder(_statement, (), None, [record.value for record in STATEMENTS]),
    "runs": Decoder(Runs.decode, (ValueError,), Runs.encode, [SOURCE.runs.encode()]),
    "source": Decoder(SourceProgress.decode, (ValueError,), SourceProgress.encode, [SOURCE.encode()]),
    "progress": Decoder(
        lambda raw: ProgressRow.decode(0, 1, clean=True, raw=raw),
        (ValueError,),
        ProgressRow.encode,
        [raw for *_, raw in ROWS.progress],
    ),
    "budget": Decoder(Budget.decode, (ValueError,), Budget.encode, [Budget(("a",), released=("b",)).encode()]),
    "region words": Decoder(RegionWords.decode, (ValueError,), RegionWords.encode, [b'{"drained":["a"]}']),
    "services seen": Decoder(ServicesSeen.decode, (ValueError,), ServicesSeen.encode, [b'{"seen_us":{"a":1}}']),
    "status": Decoder(
        PartitionStatus.decode,
        (ValueError,),
        PartitionStatus.encode,
        [each.value for each in ROWS.documents if each.name.startswith("status/")],
    ),
    "yaml": Decoder(lambda raw: parse_yaml(raw, "f"), (ConfigError,), None, [DIRECTORY.encode()]),
    "directory record": Decoder(
        lambda raw: decode_directory(b"user/ann", raw),
        (InvalidRecord,),
        lambda record: encode_directory(record)[1],
        [encode_directory(DirectoryRecord(name_of(ANN), 7, "a", ANN))[1]],
    ),
    "directory": Decoder(lambda raw: parse_directory(raw, "f"), (ConfigError,), None, [DIRECTORY.encode()]),
}
DEEP = [b"[" * 50_000, b'{"x":' * 20_000, b"\x91" * 50_000, b'{"drained":[],"x":' + b"[" * 50_000]


NESTED = st.integers(0, len(DEEP) - 1).map(DEEP.__getitem__)


@st.composite
def strange(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """Good bytes, changed in some places; or any bytes at all."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=60))
    raw = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        match draw(st.sampled_from(["cut", "drop", "flip", "insert", "repeat", "swap"])):
            case "cut":
                del raw[at:]
            case "drop":
                del raw[at : at + draw(st.integers(1, 8))]
            case "flip" if at < len(raw):
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case "repeat":
                raw[at:at] = raw[at : at + draw(st.integers(1, 20))]
            case "swap":
                raw[at : at + 4] = raw[at : at + 4][::-1]
            case _:
                raw[at:at] = draw(
                    st.sampled_from([b"null", b"1e999", b"-0", b'"', b"[", b"{", b"\\u0000", b"\xff", b"\0"])
                )
    return bytes(raw)


def feed(decoder: Decoder, raw: bytes) -> None:
    try:
        value = decoder.decode(raw)
    except decoder.raises as error:
        str(error).encode()  # what is told of it can be shown
        return
    if decoder.encode is not None:
        assert decoder.decode(decoder.encode(value)) == value


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
def test_strange_bytes_are_the_documented_error_or_a_value_that_encodes_back(name: str, data: st.DataObject) -> None:
    decoder = DECODERS[name]
    feed(decoder, data.draw(strange(decoder.good)))


@pytest.mark.parametrize("raw", DEEP, ids=range(len(DEEP)))
@pytest.mark.parametrize("name", DECODERS)
def test_nesting_without_end_is_the_documented_error(name: str, raw: bytes) -> None:
    feed(DECODERS[name], raw)


@pytest.mark.parametrize("name", DECODERS)
def test_the_good_bytes_that_are_changed_here_are_good(name: str) -> None:
    decoder = DECODERS[name]
    taken = 0
    for raw in decoder.good:
        try:
            decoder.decode(raw)
            taken += 1
        except decoder.raises:
            pass
    assert taken or name == "request body"


@given(st.sampled_from(RECORDS), st.data())
def test_a_record_with_strange_parts_is_a_request_a_tick_or_unreadable(record: Record, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name, _ in record.headers] or [""]))
    changed = [
        (each, data.draw(strange([value])) if each == name and data.draw(st.booleans()) else value)
        for each, value in record.headers
    ]
    key = data.draw(st.sampled_from([record.key, None]) | strange([record.key or b"a\0b"]))
    content = decode_record(Record(key, data.draw(strange([record.value])), tuple(changed), record.timestamp_ms))
    match content:
        case Request():
            assert decode_record(encode_request(content)) == content
        case Tick():
            assert decode_record(encode_tick(content)) == content
        case _:
            assert isinstance(content, Unreadable)
            assert content.reason


# Files ---------------------------------------------------------------------------------------------------------------

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@FILES
@given(raw=strange([b'{"at_us":1,"action":"token_created"}\n{"at_us":2}\n']) | NESTED)
def test_of_a_strange_audit_trail_the_lines_that_are_ours_are_shown(path: Path, raw: bytes) -> None:
    path.write_bytes(raw + b'\n{"at_us":3,"action":"last"}\n')
    shown = list(audit.lines(path))
    assert shown[0] == {"at_us": 3, "action": "last"}
    assert all(isinstance(line, dict) for line in shown)


@FILES
@given(raw=strange([b'{"format":2,"tokens":[]}']) | NESTED)
def test_a_strange_file_of_tokens_lets_nobody_in(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    try:
        tokens = TokenFile(path)
    except ConfigError:
        return
    assert tokens.check("token", 0) is None


@FILES
@given(raw=strange([path.read_bytes() for path in sorted(LOCAL.glob("*.yaml"))]) | NESTED)
def test_a_strange_region_file_is_named_or_used(tmp_path: Path, raw: bytes) -> None:
    for each in LOCAL.glob("*.yaml"):
        (tmp_path / each.name).write_bytes(each.read_bytes())
    (tmp_path / "a.yaml").write_bytes(raw)
    try:
        topology = load_topology(tmp_path)
    except ConfigError:
        return
    assert "b" in topology.names


def test_a_kept_row_survives_its_bytes_with_anything_in_its_record() -> None:
    for row in ROWS.kept:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=type(row)) == row
