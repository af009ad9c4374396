"""What is checked before a node is talked to: who we are, whom we trust, and by what the driver runs."""

import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from cassandra import ConsistencyLevel
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage, ServerError
from cassandra.query import SimpleStatement

from tocsin.engines.cassandra.connection import OneFurtherNode, _login, connect, tls_context
from tocsin.engines.errors import Misconfigured
from tocsin.topology import CassandraStack
from tocsin.topology.engines import ClientTls


def stack(**more: Any) -> CassandraStack:
    given = {"engine": "cassandra", "contact_points": ["127.0.0.1:1"], "local_dc": "dublin", "keyspace": "outcomes"}
    return CassandraStack.model_validate(given | more)


def password_at(file: Path) -> CassandraStack:
    return stack(login={"by": "password", "username": "tocsin", "password_file": str(file)})


def test_without_libev_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cassandra.io.libevreactor", None)
    with pytest.raises(Misconfigured, match=r"built without its libev reactor.*install the wheel"):
        connect(stack(), tmp_path, request_s=1)


def test_a_password_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot be read: .*password"):
        connect(password_at(Path("password")), tmp_path, request_s=1)
    (tmp_path / "password").write_text("\n")
    with pytest.raises(Misconfigured, match=r"is empty: .*password"):
        connect(password_at(Path("password")), tmp_path, request_s=1)


@pytest.mark.parametrize("missing", ["boto3", "cassandra_sigv4.auth"])
def test_without_the_extra_of_aws_it_says_how_to_install_it(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Misconfigured, match=r"pip install 'tocsin\[aws\]'"):
        connect(stack(login={"by": "aws", "aws_region": "eu-central-1"}), tmp_path, request_s=1)


def test_files_of_tls_that_are_of_no_use_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"tls cannot be used \(.*ca.pem\)"):
        tls_context(ClientTls(ca_file=Path("ca.pem")), tmp_path)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pair = ClientTls(ca_file=Path("ca.pem"), cert_file=Path("ca.pem"), key_file=Path("ca.pem"))
    with pytest.raises(Misconfigured, match="key without a password"):
        tls_context(pair, tmp_path)


def test_certificates_are_checked_and_their_names_too(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = tls_context(ClientTls(ca_file=Path("ca.pem")), tmp_path)
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert len(context.get_ca_certs()) == 1


RETRIED = (OneFurtherNode.RETRY_NEXT_HOST, None)
TOLD = (OneFurtherNode.RETHROW, None)
TWICE, ONCE = SimpleStatement("SELECT", is_idempotent=True), SimpleStatement("UPDATE IF", is_idempotent=False)


@pytest.mark.parametrize(
    ("error", "decided"),
    [
        (ConnectionShutdown("closed"), RETRIED),
        (IsBootstrappingErrorMessage(0x1002, "starting", None), RETRIED),
        (OverloadedErrorMessage(0x1001, "too much", None), TOLD),
        (ServerError(0, "disk full", None), TOLD),
    ],
)
def test_a_further_node_is_asked_once_and_only_for_what_may_run_twice(
    error: Exception, decided: tuple[int, None]
) -> None:
    policy = OneFurtherNode()
    level = ConsistencyLevel.LOCAL_QUORUM
    assert policy.on_request_error(TWICE, level, error, retry_num=0) == decided
    assert policy.on_request_error(TWICE, level, error, retry_num=1) == TOLD
    assert policy.on_request_error(ONCE, level, error, retry_num=0) == TOLD
    assert policy.on_request_error(None, level, error, retry_num=0) == TOLD


def test_a_coordinator_that_counts_too_few_replicas_is_not_the_last_word_and_a_time_out_is() -> None:
    policy = OneFurtherNode()
    few = {"consistency": 6, "required_replicas": 2, "alive_replicas": 1}
    assert policy.on_unavailable(TWICE, **few, retry_num=0) == RETRIED
    assert policy.on_unavailable(ONCE, **few, retry_num=0) == TOLD
    slow = {"consistency": 6, "required_responses": 2, "received_responses": 1, "retry_num": 0}
    assert policy.on_write_timeout(TWICE, write_type=0, **slow) == TOLD
    assert policy.on_read_timeout(TWICE, data_retrieved=False, **slow) == TOLD


@pytest.fixture
def aws_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No identity of this machine or its user, and no question to a service that has one."""
    pytest.importorskip("boto3", reason="of the extra `aws`")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def test_without_an_aws_identity_it_says_how_to_get_one(aws_alone: None, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="has no AWS identity: give it a role"):
        connect(stack(login={"by": "aws", "aws_region": "eu-central-1"}), tmp_path, request_s=1)


def test_a_log_in_to_amazon_keyspaces_is_signed_for_its_region(
    aws_alone: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret of an example")
    provider = _login(stack(login={"by": "aws", "aws_region": "eu-central-1"}), tmp_path)
    assert provider is not None
    authenticator = provider.new_authenticator("127.0.0.1")
    assert authenticator.session.region_name == "eu-central-1"
    answer = authenticator.evaluate_challenge(b"nonce=91703fdc2ef562e19fbdab0f58e42fe5")
    assert "signature=" in answer
    assert "access_key=AKIDEXAMPLE" in answer
    assert "secret" not in answer
