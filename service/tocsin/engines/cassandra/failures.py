"""What the driver raises, in the port's words: one table, of which the first row that matches counts.

Only what the store says of the values themselves is evidence against a request (`Refused`): that they are too large, or
of no use as what they are. Everything else is about us, the cluster or the network, and must never condemn a request:
a time-out, a replica that failed, a disk that is full (`Unavailable`); a statement, a table or a right that is not as
this code needs it (`Misconfigured`). What no row knows is `Unavailable`: that is retried, and condemns nobody.

Amazon Keyspaces answers in Cassandra's codes: what it throttles comes as a time-out or as overload, and what it does
not support as an invalid query. Its wordings are rows of their own where they would else look like bad values.
"""

import re
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import cassandra as driver
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException, ProtocolVersionUnsupported
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import (
    BadCredentials,
    CDCWriteException,
    ConfigurationException,
    ErrorMessage,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    PreparedQueryNotFound,
    ProtocolException,
    ServerError,
    SyntaxException,
    TruncateError,
)

from tocsin.core.failures import Failure, Kind
from tocsin.engines.errors import EngineError, Misconfigured, Refused, Unavailable

UNBINDABLE: Final = (TypeError, ValueError, OverflowError, struct.error)
"""What the driver raises, before it sends anything, for a value that a statement's column cannot take."""
_SAID_MAX: Final = 500
"""Of what the driver says so many characters are told: it lists every node that it tried."""
_CQL_MAX: Final = 80


class Row(NamedTuple):
    """Of errors of these types whose text has `says` (a pattern; empty for any text): what is raised, what it means."""

    errors: tuple[type[BaseException], ...]
    says: str
    raised: type[EngineError]
    meaning: str


TABLE: Final = (
    # What is wrong with us, wherever it shows
    Row((driver.AuthenticationFailed, BadCredentials), "", Misconfigured,
        "Cassandra does not accept who we are: check the login of the region file, and the user there"),
    Row((driver.Unauthorized,), "", Misconfigured,
        "our user of Cassandra may not do this: grant it SELECT and MODIFY on the keyspace, and for migrations CREATE"),
    Row((OSError,), r"SSL|certificate", Misconfigured,
        "TLS with Cassandra failed: its certificate must be signed by a CA of ca_file, name the node as we reached it, "
        "and not be over; where it asks for one of ours, cert_file and key_file give it"),
    Row((ProtocolVersionUnsupported, ProtocolException), "", Misconfigured,
        "the server does not speak our protocol: it needs Cassandra 4.0 or later, or for Amazon Keyspaces `flavor: "
        "keyspaces`"),
    Row((SyntaxException, ConfigurationException, driver.AlreadyExists, driver.UnsupportedOperation), "",
        Misconfigured,
        "Cassandra does not take a statement of this version: is it older than 4.0, or is the flavor wrong?"),
    # Invalid queries that say nothing of the values
    Row((driver.InvalidRequest,),
        r"unconfigured table|(keyspace|table) .*(n.t exist|not found)|no keyspace|undefined column|unknown identifier",
        Misconfigured,
        "the keyspace is not as this version needs it: run `tocsin store migrate`"),
    Row((driver.InvalidRequest,), r"disk usage|disk is full|denylisted", Unavailable,
        "Cassandra takes no writes, or none to this partition, by a limit of its operators: make room or lift it"),
    Row((driver.InvalidRequest,), r"batches with more than|only UNLOGGED|not supported|unsupported|consistency level",
        Misconfigured, "the server does not support what this version asks: check the flavor of the region file"),
    Row((driver.InvalidRequest,), r"guardrail (?!.*(value|cell|partition_size|collection))", Misconfigured,
        "a guardrail of the cluster forbids what this version needs: see cassandra.yaml"),
    Row((driver.InvalidRequest,), r"time ?stamp", Misconfigured,
        "the server does not take the write times that this version says: Amazon Keyspaces wants them near its own "
        "clock (docs/adr/0019-cassandra-tables.md)"),
    Row((driver.InvalidRequest,), r"throughput|rate exceeded|throttl|try again", Unavailable,
        "the service throttles us: raise the table's capacity, or the quota"),
    # What is left of them is about the values
    Row((driver.InvalidRequest,), "", Refused, "Cassandra refuses the values, and would again"),
    # Nothing is known of the outcome
    Row((driver.WriteTimeout, driver.ReadTimeout), "", Unavailable,
        "too few replicas answered the coordinator in time (Amazon Keyspaces: or it throttles us)"),
    Row((driver.Unavailable,), "", Unavailable, "too few replicas are up for LOCAL_QUORUM"),
    Row((driver.ReadFailure,), r"0x0001", Unavailable,
        "replicas gave up a read over too many tombstones: repair and compact the table"),
    Row((driver.ReadFailure, driver.WriteFailure, driver.FunctionFailure), "", Unavailable,
        "replicas failed at it: look at their logs and disks"),
    Row((driver.CDCWriteFailure, CDCWriteException), "", Unavailable, "the node's space for change data is full"),
    Row((OverloadedErrorMessage,), "", Unavailable, "the node sheds load (Amazon Keyspaces: it throttles us)"),
    Row((IsBootstrappingErrorMessage,), "", Unavailable, "the node is starting"),
    Row((TruncateError,), "", Unavailable, "a truncation failed: a node is down"),
    Row((ServerError,), "", Unavailable, "the node failed at it: look at its log, its disk's space and permissions"),
    Row((PreparedQueryNotFound,), "", Unavailable, "the node has forgotten a statement; it is told again"),
    Row((driver.OperationTimedOut,), "", Unavailable, "Cassandra did not answer in time: is it up, and reachable?"),
    Row((NoHostAvailable, driver.UnresolvableContactPoints), "", Unavailable,
        "no node of the data center could be talked to: are they up, and reachable at contact_points?"),
    Row((ConnectionException, ConnectionBusy, NoConnectionsAvailable, OSError), "", Unavailable,
        "there is no connection to the node, or it broke: is it up, and reachable at contact_points?"),
    Row((driver.DriverException, ErrorMessage), "", Unavailable, "the driver gave up"),
)  # fmt: skip


def told(error: BaseException) -> EngineError:
    """The error in the port's words, with its cause chained; one that is in them already stays as it is."""
    if isinstance(error, EngineError):
        return error
    row = _row(error)
    raised, meaning = (row.raised, row.meaning) if row else (Unavailable, "the driver failed in a way unknown to us")
    return _chained(raised, meaning, error)


def unpreparable(error: BaseException) -> EngineError:
    """As `told`, of a statement that has no values yet: what is wrong with it is never a request's fault."""
    found = told(error)
    if isinstance(found, Refused):
        return _chained(
            Misconfigured, "Cassandra does not take a statement of this version: is the flavor right?", error
        )
    return found


def unbindable(error: Exception, cql: str) -> Refused:
    """What is raised for values that the driver could not bind to a statement (`UNBINDABLE`)."""
    refused = Refused(f"Cassandra cannot take a value: {_said(error)} (in: {' '.join(cql.split())[:_CQL_MAX]})")
    refused.__cause__ = error
    return refused


def failure(error: BaseException) -> Failure:
    """The outcome for one entry: REJECTED when the store refused its values, UNAVAILABLE else."""
    found = told(error)
    return Failure(Kind.REJECTED if isinstance(found, Refused) else Kind.UNAVAILABLE, str(found))


def _chained(raised: type[EngineError], meaning: str, error: BaseException) -> EngineError:
    end = "" if meaning.endswith("?") else "."
    found = raised(f"{meaning}{end} It said: {_said(error)}")
    found.__cause__ = error
    return found


def _row(error: BaseException) -> Row | None:
    """The row of an error. Of one that lists an error for each node: the one on which they agree, else its own."""
    each = _each_node(error)
    if each:
        rows = {_row(inner) for inner in each}
        if len(rows) == 1 and (row := rows.pop()) is not None and row.raised is not Refused:
            return row
    text = str(error)
    return next(
        (row for row in TABLE if isinstance(error, row.errors) and re.search(row.says, text, re.IGNORECASE)), None
    )


def _each_node(error: BaseException) -> list[BaseException]:
    errors = error.errors if isinstance(error, NoHostAvailable) else None
    listed: Iterable[object] = errors.values() if isinstance(errors, dict) else ()
    return [inner for inner in listed if isinstance(inner, BaseException)]


def _said(error: BaseException) -> str:
    each = _each_node(error)
    text = "; ".join(dict.fromkeys(str(inner) for inner in each)) if each else str(error)
    text = text or type(error).__name__
    return text if len(text) <= _SAID_MAX else f"{text[:_SAID_MAX]}..."
