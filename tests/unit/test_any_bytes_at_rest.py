"""Every decoder of what processes leave for each other: rows, files, words of owners, answers of a child.

As in `test_any_bytes.py`: whatever the bytes, the answer is the documented error or a value that encodes back to
itself.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.history import goldens
from tests.unit.test_any_bytes import DEEP, NESTED, Decoder, dumped, feed, strange
from tocsin.cli.published import Published
from tocsin.client import spool
from tocsin.config import ConfigError
from tocsin.core.entries import Entry
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident
from tocsin.core.kept import Kept
from tocsin.core.paging.assignments import Assignment, decode_assignment, encode_assignment
from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId, Pulse, decode_feedback, encode_feedback
from tocsin.engines.cassandra import entry_cell
from tocsin.engines.embedded import incident_table, kept_table
from tocsin.engines.errors import Misconfigured
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.kafka.roster import Place, Word, decode_word
from tocsin.ops.history.format import BrokenHistory, History
from tocsin.roles import trial

ROWS: Final = goldens.Rows(goldens.folders()[-1], "a")
KEY: Final = RequestKey(Parent("s", "k"), 1, b"d" * 16)
EVENT: Final = b'{"event_action":"trigger"}'
WORD: Final = Word("m", 3, "creator-1", 7, holds=((Place("requests", 0), 7),), takes=(Place("requests", 1),))
RULE: Final = Rule(id="r", region="a", port="store", kind=Fault.REFUSE, op="write", dedup_key="k")
ASSIGNMENT: Final = Assignment("ann", KEY, 1, "triggered", "high", "disk full", "db-7", "s", 1, (2,))
INTENT: Final = Intent(IntentId("a", 1, 2), ChannelKey("ann", "mail", "high"), b"pair-one", 1, 1, 0, "due")
UP: Final = {"regions": [{"name": "a", "intake_url": "https://localhost"}], "routing_key": "k", "token": "t"}
HISTORY: Final = b"""{"type":"history","format":1,"regions":["a","b"]}
{"type":"invoke","op":1,"at_us":1,"process":"p","region":"a","call":"send"}
{"type":"info","op":1,"at_us":2}
"""

DECODERS: Final = {
    "kept row": Decoder(
        kept_table._decoder.decode,
        (ValueError,),
        msgspec.msgpack.encode,
        [msgspec.msgpack.encode(row) for row in ROWS.kept],
    ),
    "incident row": Decoder(
        incident_table._decoder.decode,
        (ValueError,),
        msgspec.msgpack.encode,
        [msgspec.msgpack.encode(row) for row in ROWS.incidents],
    ),
    "entry cell": Decoder(
        lambda raw: entry_cell.decode(KEY, raw),
        (ValueError,),
        entry_cell.encode,
        [entry_cell.encode(Entry(KEY, 1, "a", 2, "trigger", EVENT))],
    ),
    "assignment": Decoder(
        decode_assignment, (ValueError,), lambda value: encode_assignment(value)[1], [encode_assignment(ASSIGNMENT)[1]]
    ),
    "feedback": Decoder(
        decode_feedback, (), None, [encode_feedback(INTENT)[1], encode_feedback(Pulse("a", 1, 2, 3, fit=True))[1]]
    ),
    "an owner's word": Decoder(decode_word, (ValueError,), Word.encode, [WORD.encode()]),
    "a child's answer": Decoder(
        trial.decode_failures,
        (ValueError,),
        msgspec.msgpack.encode,
        [msgspec.msgpack.encode({0: Failure(Kind.REJECTED, "refused")})],
    ),
    "spooled event": Decoder(spool._decode, (spool.Damaged,), None, [spool._encode("0x1", "k", EVENT)]),
}
FILES: Final = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


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
    for raw in DECODERS[name].good:
        DECODERS[name].decode(raw)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@FILES
@given(raw=strange([msgspec.json.encode([RULE])]) | NESTED)
def test_a_strange_file_of_faults_is_named_or_used(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    try:
        rules = FaultSwitch(path).rules()
    except Misconfigured as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        return
    assert all(isinstance(rule, Rule) for rule in rules)


@FILES
@given(raw=strange([dumped(UP)]) | NESTED)
def test_a_strange_file_of_where_things_listen_is_named_or_used(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    try:
        published = Published.read(path)
    except ConfigError:
        return
    assert str(published)


@FILES
@given(raw=strange([HISTORY]) | NESTED.map(lambda raw: HISTORY + raw + b"\n"))
def test_a_strange_history_is_refused_by_its_line_or_read(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    lines: list[Any] = []
    try:
        lines += History(path)
    except BrokenHistory as error:
        assert f"{path}, line " in str(error)  # noqa: PT017 - either outcome is right
    assert len(lines) <= raw.count(b"\n")


def test_what_incidents_and_kept_rows_are_decoded_to_is_what_was_recorded() -> None:
    for kept in ROWS.kept:
        assert kept_table._decoder.decode(msgspec.msgpack.encode(kept)) == kept
        assert isinstance(kept, Kept)
    for incident in ROWS.incidents:
        assert incident_table._decoder.decode(msgspec.msgpack.encode(incident)) == incident
        assert isinstance(incident, Incident)
