"""Connecting to a cluster: who we are, whom we trust, which nodes we talk to, and by which reactor.

Theory
------
The driver reads and writes its sockets in one thread, by libev, a loop in C. Its other loops are slower, and of those
the asyncio one runs a second event loop in a thread too; so libev is asserted, and a build without it is refused.

Only nodes of `local_dc` are talked to. The driver takes a data center that does not exist without a word, and then
finds no node for any request; so the name is checked once the cluster has told its own. Certificates are checked for
the name by which a node was reached: a contact point's name, or the address that the cluster gives of a node. All nodes
of Amazon Keyspaces show one certificate, that of the service's name.

Nothing is retried behind the caller's back but what cannot matter: a statement that is the same however often it
runs goes to one further node when the first could not be spoken to, was starting, or counted too few replicas.
"""

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cassandra import ConsistencyLevel, DependencyException, ProtocolVersion
from cassandra.auth import AuthProvider, PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionException, DefaultEndPoint
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import IsBootstrappingErrorMessage
from cassandra.query import tuple_factory

from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.topology.engines import AwsIdentity, CassandraStack, ClientTls, Password, host_and_port

CONNECT_S: Final = 3.0
"""How long one connection may take, from TCP to the log-in."""
RECONNECT_FIRST_S: Final = 0.5
RECONNECT_MAX_S: Final = 5.0
"""The longest pause between two attempts to reach a node that is down. There is no last attempt."""
HEARTBEAT_S: Final = 5.0
"""A connection on which nothing came for so long is asked whether it lives, and closed when it stays silent as long."""
EVENT_WINDOW_S: Final = 10.0
"""Changes of the ring are looked at once in this time, however many are told."""
TELL_EVERY_S: Final = 10.0
"""A warning of the driver with one wording is told once in this time: an outage has thousands."""


class OneFurtherNode(RetryPolicy):  # type: ignore[misc]  # the driver has no types
    """Once, to the next node of the plan, and only what may run twice; everything else is the caller's to decide."""

    def on_read_timeout(self, *_: Any, **__: Any) -> tuple[int, None]:
        """The replicas are slow: another coordinator would ask the same ones."""
        return self.RETHROW, None

    def on_write_timeout(self, *_: Any, **__: Any) -> tuple[int, None]:
        """As for reads."""
        return self.RETHROW, None

    def on_unavailable(self, query: Any, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        """This coordinator counts too few replicas: another may see more."""
        return self._once(query, retry_num)

    def on_request_error(self, query: Any, consistency: Any, error: Any, retry_num: int) -> tuple[int, None]:  # noqa: ARG002 (as the base class)
        """A connection that broke, or a node that starts. An overloaded node's work is not for its neighbours."""
        if isinstance(error, ConnectionException | IsBootstrappingErrorMessage):
            return self._once(query, retry_num)
        return self.RETHROW, None

    def _once(self, query: Any, retry_num: int) -> tuple[int, None]:
        may = retry_num == 0 and query is not None and query.is_idempotent
        return (self.RETRY_NEXT_HOST if may else self.RETHROW), None


def connect(stack: CassandraStack, data_dir: Path, *, request_s: float) -> Session:
    """The driver's session with a cluster, in no keyspace yet; `session.cluster.shutdown()` ends it. Blocks for up to
    seconds, so it belongs into a thread.

    Raises `Misconfigured` for what can be told before asking, and for a data center that is not there; `Unavailable`
    when no name has an address; else what the driver raises. What was opened is closed again before.
    """
    quiet_driver()
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(stack.local_dc)),
        retry_policy=OneFurtherNode(),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=request_s,
        row_factory=tuple_factory,
    )
    tls = None if stack.tls is None else tls_context(stack.tls, data_dir)
    port = host_and_port(stack.contact_points[0])[1]
    cluster = Cluster(
        contact_points=list(_endpoints(stack)),
        port=port,
        protocol_version=_protocol_version(stack),
        connection_class=_libev(),
        auth_provider=_login(stack, data_dir),
        ssl_context=tls,
        ssl_options=_server_name(stack) if tls is not None else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ExponentialReconnectionPolicy(RECONNECT_FIRST_S, RECONNECT_MAX_S, max_attempts=None),
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # else a request may wait 40 ms for the ACK of the last
        compression=False,  # costs more of the one core that we have than it saves of a network
        connect_timeout=CONNECT_S,
        control_connection_timeout=CONNECT_S,
        idle_heartbeat_interval=HEARTBEAT_S,
        idle_heartbeat_timeout=HEARTBEAT_S,
        topology_event_refresh_window=EVENT_WINDOW_S,
        status_event_refresh_window=0,  # a node that is back is used at once: we are few
        schema_event_refresh_window=-1,  # of others' tables we need nothing; our own are read when we connect
        monitor_reporting_enabled=False,
    )
    try:
        return _session(cluster, stack)
    except BaseException:
        cluster.shutdown()
        raise


def tls_context(tls: ClientTls, data_dir: Path) -> ssl.SSLContext:
    """How nodes are checked, by name too, and what we show them. Raises `Misconfigured` for files of no use."""
    try:
        context = ssl.create_default_context(cafile=None if tls.ca_file is None else data_dir / tls.ca_file)
        if tls.cert_file is not None and tls.key_file is not None:
            context.load_cert_chain(data_dir / tls.cert_file, data_dir / tls.key_file)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(data_dir / file) for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
        raise Misconfigured(
            f"the files of tls cannot be used ({files}): {error}. They must be PEM, a key without a password, and the "
            "certificate and key belong together"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _NamedEndPoint(DefaultEndPoint):  # type: ignore[misc]  # the driver has no types
    """A node reached by a name: its certificate is checked for that, and not for the address behind it."""

    def __init__(self, address: str, port: int, name: str) -> None:
        super().__init__(address, port)
        self._name = name

    @property
    def ssl_options(self) -> dict[str, str]:
        return {"server_hostname": self._name}


def _endpoints(stack: CassandraStack) -> Iterator[DefaultEndPoint]:
    """The contact points by address. The driver would resolve the names too, and then forget them."""
    unknown = []
    for point in stack.contact_points:
        host, port = host_and_port(point)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            unknown.append(f"{host} ({error})")
            continue
        for address in dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found):
            if stack.tls is None or address == host or stack.flavor == "keyspaces":
                yield DefaultEndPoint(address, port)
            else:
                yield _NamedEndPoint(address, port, host)
    if len(unknown) == len(stack.contact_points):
        raise Unavailable(f"no contact point's name has an address: {', '.join(unknown)}. Are the names right?")


def _server_name(stack: CassandraStack) -> dict[str, str] | None:
    """What every certificate is checked for, where all nodes show the same one."""
    return {"server_hostname": host_and_port(stack.contact_points[0])[0]} if stack.flavor == "keyspaces" else None


def _protocol_version(stack: CassandraStack) -> int:
    """Said and not tried out: a wrong guess costs a connection, and some servers answer it in no way at all."""
    return int(ProtocolVersion.V4 if stack.flavor == "keyspaces" else ProtocolVersion.V5)


def _libev() -> type:
    try:
        from cassandra.io.libevreactor import LibevConnection  # noqa: PLC0415 - raises where it is not built
    except (ImportError, DependencyException) as error:
        raise Misconfigured(
            "this cassandra-driver was built without its libev reactor, on which the store depends: install the wheel "
            "of PyPI for this platform, or build it where libev's headers are (Debian: libev-dev)"
        ) from error
    return LibevConnection  # type: ignore[no-any-return]


def _login(stack: CassandraStack, data_dir: Path) -> AuthProvider | None:
    match stack.login:
        case None:
            return None
        case Password(username=username, password_file=file):
            return PlainTextAuthProvider(username, _password(data_dir / file))
        case AwsIdentity(aws_region=aws_region):
            return _signed(aws_region)


def _password(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the file of Cassandra's password cannot be read: {file}: {error}") from error
    if not password:
        raise Misconfigured(f"the file of Cassandra's password is empty: {file}")
    return password


def _signed(aws_region: str) -> AuthProvider:
    try:
        from boto3 import Session as AwsSession  # noqa: PLC0415 - of the extra `aws`
        from cassandra_sigv4.auth import SigV4AuthProvider  # noqa: PLC0415
    except ImportError as error:
        raise Misconfigured(
            "to log in to Amazon Keyspaces by AWS identity, install tocsin with its extra: pip install 'tocsin[aws]'"
        ) from error
    session = AwsSession(region_name=aws_region)
    if session.get_credentials() is None:
        raise Misconfigured(
            "the login of Cassandra is by aws, and this process has no AWS identity: give it a role, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return SigV4AuthProvider(session)


def _session(cluster: Cluster, stack: CassandraStack) -> Session:
    try:
        session = cluster.connect(wait_for_all_pools=True)
    except NoHostAvailable:
        if any(host.datacenter for host in cluster.metadata.all_hosts()):
            _check_local_dc(cluster, stack)
        raise
    _check_local_dc(cluster, stack)
    return session


def _check_local_dc(cluster: Cluster, stack: CassandraStack) -> None:
    known = sorted({host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter})
    if stack.local_dc not in known:
        raise Misconfigured(
            f"the cluster at {', '.join(stack.contact_points)} has no data center {stack.local_dc!r}, so no node would "
            f"be talked to. It has {', '.join(map(repr, known)) or 'none'}: set local_dc to the one of this region"
        )


# What the driver logs ------------------------------------------------------------------------------------------------


class _Seldom(logging.Filter):
    """Lets a wording pass once in `TELL_EVERY_S`, as an action of ours and without a traceback: each failure is told
    by whoever asked, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if _SAID_OF_USE in record.getMessage():
            return False
        if now - self._told_at.get(str(record.msg), -TELL_EVERY_S) < TELL_EVERY_S:
            return False
        self._told_at[str(record.msg)] = now  # as many as the driver has wordings
        record.action = "cassandra_driver"
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


_SAID_OF_USE: Final = "is considered to be an anti-pattern due to ambiguity in non-qualified table names"
"""Of every statement that is prepared; ours are told their keyspace one by one."""
_SELDOM: Final = _Seldom()
_LOGGERS: Final = ("cluster", "connection", "io.libevreactor", "metadata", "policies", "pool", "protocol", "timestamps")


def quiet_driver() -> None:
    """Has the driver's loggers tell warnings only, and each seldom. Again changes nothing."""
    logging.getLogger("cassandra").setLevel(logging.WARNING)
    for name in _LOGGERS:
        logging.getLogger(f"cassandra.{name}").addFilter(_SELDOM)
