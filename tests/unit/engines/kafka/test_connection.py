"""What clients of Kafka are given by a region file, and what is said when a broker cannot be reached."""

import asyncio
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka.errors import IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tocsin.engines.errors import EngineError, Misconfigured, Unavailable
from tocsin.engines.kafka.connection import client_arguments, connect, explain
from tocsin.topology import KafkaLog

PLAIN = {"engine": "kafka", "bootstrap": ("127.0.0.1:9092", "127.0.0.1:9093"), "retention_s": 60.0}
SCRAM = {"by": "scram", "username": "tocsin", "password_file": "password"}


def arguments(folder: Path, **more: Any) -> dict[str, Any]:
    return client_arguments(KafkaLog.model_validate(PLAIN | more), folder)


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    given = ca.issue_cert("tocsin")
    given.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    given.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    return ca


def test_brokers_of_this_machine_are_spoken_to_in_plain_text(tmp_path: Path) -> None:
    found = arguments(tmp_path)
    assert found["bootstrap_servers"] == ["127.0.0.1:9092", "127.0.0.1:9093"]
    assert found["security_protocol"] == "PLAINTEXT"
    assert not {name for name in found if name.startswith(("ssl", "sasl"))}


@pytest.mark.usefixtures("ca")
def test_tls_checks_names_and_shows_our_certificate(tmp_path: Path) -> None:
    tls = {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"}
    found = arguments(tmp_path, bootstrap=("kafka.example.com:9094",), tls=tls)
    context = found["ssl_context"]
    assert found["security_protocol"] == "SSL"
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    assert arguments(tmp_path, tls={})["ssl_context"].verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("hash_name", ["sha-256", "sha-512"])
def test_a_password_is_read_from_its_file(tmp_path: Path, hash_name: str) -> None:
    (tmp_path / "password").write_text(" secret with spaces \n")
    found = arguments(tmp_path, tls={}, login=SCRAM | {"hash": hash_name})
    assert found["security_protocol"] == "SASL_SSL"
    assert found["sasl_mechanism"] == f"SCRAM-{hash_name.upper()}"
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("tocsin", " secret with spaces ")


def test_an_aws_identity_is_a_provider_of_tokens(tmp_path: Path) -> None:
    pytest.importorskip("aws_msk_iam_sasl_signer", reason="the extra `aws` is not installed")
    found = arguments(tmp_path, tls={}, login={"by": "aws", "aws_region": "eu-central-1"})
    assert (found["security_protocol"], found["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert hasattr(found["sasl_oauth_token_provider"], "token")


@pytest.mark.usefixtures("ca")
@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"login": SCRAM}, r"cannot be read from .*password"),
        ({"login": SCRAM | {"password_file": "empty"}}, r"empty is empty: it should hold the password"),
        ({"tls": {"ca_file": "nowhere.pem"}}, r"nowhere\.pem \(log\.tls\.ca_file\) holds no certificates"),
        ({"tls": {"ca_file": "empty"}}, r"empty \(log\.tls\.ca_file\) holds no certificates"),
        ({"tls": {"cert_file": "cert.pem", "key_file": "empty"}}, r"cert\.pem and .*empty .* without a password"),
        ({"tls": {"cert_file": "cert.pem", "key_file": "locked.pem"}}, r"locked\.pem .* without a password"),
    ],
)
def test_a_file_that_does_not_hold_what_it_should_is_named(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    (tmp_path / "empty").touch()
    key = load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"locked"))
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(Misconfigured, match=says):
        arguments(tmp_path, **more)


@pytest.mark.parametrize(
    ("fault", "becomes", "says"),
    [
        (SaslAuthenticationFailed("no"), Misconfigured, r"b1:9092 does not let in user 'tocsin'.*password_file"),
        (ValueError("Server sent wrong signature!"), Misconfigured, "does not let in user 'tocsin'"),
        (UnsupportedSaslMechanismError("no"), Misconfigured, r"takes no login by SCRAM-SHA-512: set log\.login"),
        (IllegalSaslStateError("no"), Misconfigured, r"takes no login by SCRAM-SHA-512"),
        (ssl.SSLError(1, "wrong version number"), Misconfigured, r"no TLS connection .*log\.tls\.cert_file"),
        (ConnectionRefusedError(111, "refused"), Unavailable, r"no connection .* b1:9092.*refused"),
        (TimeoutError(), Unavailable, r"no connection .* b1:9092: TimeoutError"),
        (socket.gaierror(-2, "Name or service not known"), Unavailable, "Name or service not known"),
    ],
)
def test_a_failure_to_connect_is_told_apart(fault: Exception, becomes: type[EngineError], says: str) -> None:
    given = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "tocsin", "sasl_plain_password": "secret"}
    error = explain(fault, "b1:9092", given)
    assert type(error) is becomes
    with pytest.raises(becomes, match=says):
        raise error
    assert "secret" not in str(error)


def test_without_a_name_it_is_the_aws_identity_that_is_not_let_in() -> None:
    error = explain(SaslAuthenticationFailed("no"), "b1:9098", {"sasl_mechanism": "OAUTHBEARER"})
    assert "kafka-cluster:Connect" in str(error)


async def test_what_answers_nothing_or_something_else_is_unavailable(tmp_path: Path) -> None:
    async def slam(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(slam, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port}.*log\.tls and log\.login"):
            await connect("127.0.0.1", port, arguments(tmp_path))
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port}"):
        await connect("127.0.0.1", port, arguments(tmp_path))


def test_whatever_the_level_aiokafka_never_logs_requests_which_may_be_a_login() -> None:
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)
