"""Connections to Kafka brokers: how we introduce ourselves, and what a failure to do so means.

A wrong password, an unknown CA and a broker that is away look alike to whoever merely has no connection; to the person
who has to repair it they are three different things. So connections are opened here one by one, and what went wrong is
told apart: `Unavailable` for what may pass, `Misconfigured` with the setting to look at for what will not.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from tocsin.engines.errors import EngineError, Misconfigured, Unavailable
from tocsin.topology import KafkaLog
from tocsin.topology.engines import AwsIdentity, ClientTls, Scram

REQUEST_S: Final = 10.0
"""How long one request, or the opening of one connection, may take: above the longest wait that a fetch asks for."""
FETCH_WAIT_S: Final = 5.0
"""The longest wait that one fetch request asks of a broker; longer waits are several requests."""
CALL_S: Final = 10.0
"""How long a call goes on trying: metadata, topics, bounds, commits, and appends."""
RETRY_PAUSE_S: Final = 0.1
"""Between two tries of one call."""
IDLE_S: Final = 60.0
"""Connections that nobody used for this long are closed."""
CLIENT_ID: Final = "tocsin"

# At this level aiokafka logs each request whole, the tokens and proofs of a login with them.
logging.getLogger("aiokafka.conn").setLevel(logging.INFO)


def client_arguments(section: KafkaLog, data_dir: Path) -> dict[str, Any]:
    """What the clients of aiokafka are given, all alike; paths of the section are relative to the data directory.

    Reads files, so not in an event loop. Raises `Misconfigured` for a file that cannot be read as what it should hold.
    """
    return {
        "bootstrap_servers": list(section.bootstrap),
        "client_id": CLIENT_ID,
        "request_timeout_ms": int(REQUEST_S * 1000),
        "retry_backoff_ms": int(RETRY_PAUSE_S * 1000),
        "connections_max_idle_ms": int(IDLE_S * 1000),
        **_security(section, data_dir),
    }


async def connect(host: str, port: int, arguments: Mapping[str, Any]) -> AIOKafkaConnection:
    """A connection to one broker, logged in. `arguments` are those of `client_arguments`.

    Raises `Unavailable` when the broker cannot be reached, `Misconfigured` when it or we refuse the other.
    """
    own = {name: value for name, value in arguments.items() if name in _OF_CONNECTIONS}
    try:
        async with asyncio.timeout(REQUEST_S):
            return await create_conn(host, port, max_idle_ms=arguments["connections_max_idle_ms"], **own)
    except (OSError, KafkaError, ValueError, TimeoutError) as error:
        raise explain(error, f"{host}:{port}", arguments) from error


def explain(error: BaseException, where: str, arguments: Mapping[str, Any]) -> EngineError:
    """What the failure of a connection means to a person."""
    match next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), error):
        case ssl.SSLCertVerificationError(verify_message=reason):
            return Misconfigured(
                f"the certificate of the Kafka broker at {where} is not trusted: {reason}. Set log.tls.ca_file of the "
                "region file to the CA that issued it, and log.bootstrap to a name that it was issued for"
            )
        case ssl.SSLError() as fault:
            return Misconfigured(
                f"no TLS connection to the Kafka broker at {where}: {fault}. Does its listener speak TLS, "
                "and does it want a certificate of ours (log.tls.cert_file and key_file of the region file)?"
            )
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return Misconfigured(
                f"the Kafka broker at {where} takes no login by {arguments.get('sasl_mechanism')}: set log.login of "
                f"the region file to what its listener takes, or use another listener ({error})"
            )
        case SaslAuthenticationFailed() | AuthenticationFailedError() | ValueError():
            if who := arguments.get("sasl_plain_username"):
                what = f"user {who!r}: check log.login.username, and what the file log.login.password_file holds"
            else:
                what = "our AWS identity: does its policy allow kafka-cluster:Connect? Check log.login.aws_region too"
            return Misconfigured(f"the Kafka broker at {where} does not let in {what} ({error})")
    what = str(error) or type(error).__name__
    return Unavailable(
        f"no connection to the Kafka broker at {where}: {what}. If it runs and can be reached "
        "from here, compare its listener's protocol with log.tls and log.login of the region file"
    )


_OF_CONNECTIONS: Final = frozenset(
    {
        *("client_id", "request_timeout_ms", "ssl_context", "security_protocol", "sasl_mechanism"),
        *("sasl_plain_username", "sasl_plain_password", "sasl_oauth_token_provider"),
    }
)


def _causes(error: BaseException | None) -> list[BaseException]:
    causes = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__
    return causes


def _security(section: KafkaLog, data_dir: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = {"ssl_context": _ssl_context(section.tls, data_dir)} if section.tls else {}
    match section.login:
        case Scram(hash=hash_name, username=username, password_file=path):
            arguments |= {
                "sasl_mechanism": f"SCRAM-{hash_name.upper()}",
                "sasl_plain_username": username,
                "sasl_plain_password": _password(data_dir / path),
            }
        case AwsIdentity(aws_region=aws_region):
            from tocsin.engines.kafka.msk import TokenProvider  # noqa: PLC0415 - the extra `aws` is for its users only

            arguments |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": TokenProvider(aws_region)}
    encryption = "SSL" if section.tls else "PLAINTEXT"
    arguments["security_protocol"] = f"SASL_{encryption}" if section.login else encryption
    return arguments


def _password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the password of the login to Kafka cannot be read from {path}: {error}") from error
    if not password:
        raise Misconfigured(f"{path} is empty: it should hold the password of the login to Kafka and nothing else")
    return password


def _ssl_context(tls: ClientTls, data_dir: Path) -> ssl.SSLContext:
    def whole(path: Path | None) -> str | None:
        return str(data_dir / path) if path else None

    ca_file, cert_file, key_file = whole(tls.ca_file), whole(tls.cert_file), whole(tls.key_file)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Misconfigured(f"{ca_file} (log.tls.ca_file) holds no certificates in PEM: {error}") from error
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file, password=lambda: "")  # else it would ask the terminal
        except OSError as error:
            raise Misconfigured(
                f"{cert_file} and {key_file} (log.tls.cert_file and key_file) are no certificate and its key without a "
                f"password, in PEM: {error}"
            ) from error
    return context
