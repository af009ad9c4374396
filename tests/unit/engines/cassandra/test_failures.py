"""What the driver raises, row by row: the servers' errors as the driver decodes them from the wire."""

import io
import logging
import struct
from typing import Any

import pytest
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    OperationTimedOut,
    ProtocolVersion,
    UnresolvableContactPoints,
    UnsupportedOperation,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException, ConnectionShutdown, ProtocolVersionUnsupported
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ErrorMessage

from tocsin.core.failures import Kind
from tocsin.engines.cassandra.connection import quiet_driver
from tocsin.engines.cassandra.failures import TABLE, UNBINDABLE, failure, told, unbindable, unpreparable
from tocsin.engines.errors import EngineError, Misconfigured, Refused, Unavailable

LOCAL_QUORUM = struct.pack(">H", ConsistencyLevel.LOCAL_QUORUM)
REPLICAS = LOCAL_QUORUM + struct.pack(">ii", 1, 2)
"""One of two that were needed."""
NONE = LOCAL_QUORUM + struct.pack(">ii", 0, 2)


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def failed_at(code: int) -> bytes:
    """Protocol v5's map of which replica failed by what."""
    return struct.pack(">i", 1) + bytes([4, 127, 0, 0, 1]) + struct.pack(">H", code)


def from_wire(code: int, message: str, more: bytes = b"") -> BaseException:
    """The exception that the driver makes of an ERROR frame."""
    body = io.BytesIO(struct.pack(">i", code) + text(message) + more)
    decoded = ErrorMessage.recv_body(body, ProtocolVersion.V5)
    assert not body.read(), "the frame is longer than the driver reads it"
    error = decoded.to_exception()
    assert isinstance(error, BaseException)
    return error


SERVER_ERROR, PROTOCOL, BAD_CREDENTIALS, UNAVAILABLE, OVERLOADED, BOOTSTRAPPING = 0, 0xA, 0x100, 0x1000, 0x1001, 0x1002
TRUNCATE, WRITE_TIMEOUT, READ_TIMEOUT, READ_FAILURE, FUNCTION_FAILURE = 0x1003, 0x1100, 0x1200, 0x1300, 0x1400
WRITE_FAILURE, CDC, SYNTAX, UNAUTHORIZED, INVALID, CONFIG, EXISTS, UNPREPARED = (
    *(0x1500, 0x1600, 0x2000, 0x2100),
    *(0x2200, 0x2300, 0x2400, 0x2500),
)
EXAMPLES: list[tuple[BaseException, type[EngineError], str]] = [
    # Values that the store refuses, in Cassandra 5.0's words
    (from_wire(INVALID, "CQL Message of size 5000082 bytes exceeds allowed maximum of 4194304 bytes"), Refused, "4194"),
    (from_wire(INVALID, "Key length of 70000 is longer than maximum of 65535"), Refused, "65535"),
    (from_wire(INVALID, "Key may not be empty"), Refused, "may not be empty"),
    (from_wire(INVALID, "Invalid null value in condition for column a"), Refused, "null value"),
    (from_wire(INVALID, "Batch too large"), Refused, "too large"),
    (from_wire(INVALID, "Guardrail column_value_size violated: Value of column c has size 2MiB"), Refused, "2MiB"),
    # Invalid queries that condemn nobody
    (from_wire(INVALID, "table entries does not exist"), Misconfigured, "tocsin store migrate"),
    (from_wire(INVALID, "Table 'outcomes.entries' doesn't exist"), Misconfigured, "tocsin store migrate"),
    (from_wire(INVALID, "unconfigured table entries"), Misconfigured, "tocsin store migrate"),
    (from_wire(INVALID, "Keyspace 'outcomes' does not exist"), Misconfigured, "tocsin store migrate"),
    (from_wire(INVALID, "Undefined column name body in table outcomes.entries"), Misconfigured, "migrate"),
    (from_wire(INVALID, "Guardrail maximum_timestamp violated: too far"), Misconfigured, "guardrail"),
    (from_wire(INVALID, "Write request failed because disk usage exceeds failure threshold"), Unavailable, "room"),
    (from_wire(INVALID, "Unable to write to denylisted partition [0x01] in a/b"), Unavailable, "lift it"),
    (from_wire(SYNTAX, "line 1:0 no viable alternative at input 'INSRT'"), Misconfigured, "older than 4.0"),
    (from_wire(CONFIG, "Unable to find compaction strategy class"), Misconfigured, "statement"),
    (from_wire(EXISTS, "Cannot add", text("outcomes") + text("entries")), Misconfigured, "statement"),
    (from_wire(UNAUTHORIZED, "User tocsin has no MODIFY permission on <table o.e>"), Misconfigured, "grant"),
    (from_wire(BAD_CREDENTIALS, "Provided username and/or password are incorrect"), Misconfigured, "login"),
    (AuthenticationFailed("Failed to authenticate to 127.0.0.1:9042"), Misconfigured, "login"),
    (UnsupportedOperation("needs protocol 5"), Misconfigured, "statement"),
    (from_wire(PROTOCOL, "Invalid or unsupported protocol version (5)"), Misconfigured, "4.0"),
    (ProtocolVersionUnsupported("127.0.0.1:9042", 5), Misconfigured, "4.0"),
    (OSError(1, "Last error: [SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch"), Misconfigured, "ca_file"),
    # Nothing is known of the outcome
    (from_wire(WRITE_TIMEOUT, "timed out", REPLICAS + text("UNLOGGED_BATCH")), Unavailable, "in time"),
    (from_wire(READ_TIMEOUT, "timed out", REPLICAS + b"\0"), Unavailable, "in time"),
    (from_wire(UNAVAILABLE, "Cannot achieve", LOCAL_QUORUM + struct.pack(">ii", 2, 1)), Unavailable, "LOCAL_QUORUM"),
    (from_wire(WRITE_FAILURE, "failed", REPLICAS + failed_at(0) + text("SIMPLE")), Unavailable, "disks"),
    (from_wire(READ_FAILURE, "failed", REPLICAS + failed_at(0) + b"\0"), Unavailable, "disks"),
    (from_wire(READ_FAILURE, "failed", REPLICAS + failed_at(1) + b"\0"), Unavailable, "tombstones"),
    (from_wire(FUNCTION_FAILURE, "failed", text("k") + text("f") + struct.pack(">H", 0)), Unavailable, "logs"),
    (from_wire(CDC, "Rejecting mutation: CDC space is full"), Unavailable, "change data"),
    (from_wire(OVERLOADED, "Request breached limit"), Unavailable, "sheds load"),
    (from_wire(BOOTSTRAPPING, "Cannot read from a bootstrapping node"), Unavailable, "starting"),
    (from_wire(TRUNCATE, "Cannot truncate"), Unavailable, "node is down"),
    (from_wire(SERVER_ERROR, "org.apache.cassandra.io.FSWriteError: No space left on device"), Unavailable, "disk"),
    (from_wire(UNPREPARED, "unknown", struct.pack(">H", 2) + b"id"), Unavailable, "forgotten"),
    (OperationTimedOut({"127.0.0.1:9042": "Client request timeout"}, None), Unavailable, "did not answer in time"),
    (NoHostAvailable("Unable to complete the operation against any hosts", {}), Unavailable, "contact_points"),
    (UnresolvableContactPoints({}), Unavailable, "contact_points"),
    (ConnectionShutdown("Connection to 127.0.0.1:9042 was closed"), Unavailable, "connection"),
    (ConnectionException("Host has been marked down or removed"), Unavailable, "connection"),
    (ConnectionBusy("at its maximum"), Unavailable, "connection"),
    (NoConnectionsAvailable("All request IDs are currently in use"), Unavailable, "connection"),
    (ConnectionResetError(104, "Connection reset by peer"), Unavailable, "connection"),
    (DriverException("ID mismatch while trying to reprepare"), Unavailable, "gave up"),
    (from_wire(0x8000, "Client write failure"), Unavailable, "gave up"),
    # Amazon Keyspaces
    (from_wire(INVALID, "Batches with more than 30 statements are not supported."), Misconfigured, "flavor"),
    (from_wire(INVALID, "Only UNLOGGED Batches are supported at this time."), Misconfigured, "flavor"),
    (from_wire(INVALID, "Unsupported statement: TRUNCATE"), Misconfigured, "flavor"),
    (from_wire(INVALID, "Consistency level ALL is not permitted"), Misconfigured, "flavor"),
    (from_wire(INVALID, "Timestamp is out of range: 2 days back to 5 minutes ahead"), Misconfigured, "write times"),
    (from_wire(INVALID, "Request throughput exceeds the provisioned capacity"), Unavailable, "quota"),
    (from_wire(INVALID, "The row exceeds the maximum size of 1048576 bytes"), Refused, "1048576"),
    (from_wire(WRITE_TIMEOUT, "none", NONE + text("SIMPLE")), Unavailable, "throttles"),
    (from_wire(OVERLOADED, "PerConnectionRequestRateExceeded"), Unavailable, "throttles"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "raised", "words"), EXAMPLES, ids=lambda value: str(value)[:60])
def test_an_error_is_told_in_the_ports_words(error: BaseException, raised: type[EngineError], words: str) -> None:
    found = told(error)
    assert type(found) is raised
    assert words in str(found)
    assert found.__cause__ is error
    assert failure(error).kind is (Kind.REJECTED if raised is Refused else Kind.UNAVAILABLE)


def test_every_row_of_the_table_has_an_example() -> None:
    meant = {row.meaning for row in TABLE}
    shown = {meaning for meaning in meant for error, _, _ in EXAMPLES if str(told(error)).startswith(meaning)}
    assert shown == meant


def test_only_what_the_server_calls_invalid_is_evidence_against_a_request() -> None:
    assert {error for row in TABLE if row.raised is Refused for error in row.errors} == {type(from_wire(INVALID, ""))}


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ({"one": AuthenticationFailed("no"), "two": AuthenticationFailed("no")}, Misconfigured),
        ({"one": AuthenticationFailed("no"), "two": ConnectionRefusedError(111, "refused")}, Unavailable),
        ({"one": ConnectionRefusedError(111, "refused")}, Unavailable),
        ({"one": from_wire(INVALID, "Key may not be empty")}, Unavailable),
    ],
)
def test_nodes_that_agree_on_what_is_wrong_are_believed(errors: dict[str, Any], raised: type[EngineError]) -> None:
    assert type(told(NoHostAvailable("Unable to connect to any servers", errors))) is raised


def test_what_nobody_foresaw_condemns_nobody() -> None:
    assert failure(KeyError("a fault of the driver")).kind is Kind.UNAVAILABLE


def test_what_is_in_the_ports_words_already_stays_as_it_is() -> None:
    error = Refused("too large")
    assert told(error) is error
    assert failure(error) == (Kind.REJECTED, "too large")


def test_a_statement_that_cannot_be_prepared_is_no_fault_of_a_request() -> None:
    refused = from_wire(INVALID, "Cannot execute this query as it might involve data filtering")
    assert type(told(refused)) is Refused
    assert type(unpreparable(refused)) is Misconfigured
    assert type(unpreparable(OperationTimedOut())) is Unavailable


@pytest.mark.parametrize("error", [kind("no") for kind in UNBINDABLE], ids=repr)
def test_a_value_that_a_column_cannot_take_is_refused_with_its_statement(error: Exception) -> None:
    refused = unbindable(error, "INSERT INTO entries\n  (body) VALUES (?)")
    assert type(refused) is Refused
    assert "INSERT INTO entries (body)" in str(refused)


def test_a_long_list_of_nodes_is_cut() -> None:
    errors = {str(number): ConnectionException(f"node {number} is away") for number in range(1000)}
    assert len(str(told(NoHostAvailable("no", errors)))) < 1000


def test_the_driver_tells_each_warning_once_in_a_while_and_by_an_action(caplog: pytest.LogCaptureFixture) -> None:
    quiet_driver()
    quiet_driver()
    log = logging.getLogger("cassandra.pool")
    for number in range(50):
        log.warning("Failed reconnecting %s, in this test", number)
        log.info("opened a connection")
    (record,) = caplog.records
    assert record.__dict__["action"] == "cassandra_driver"
