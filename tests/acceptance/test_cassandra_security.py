"""A node that asks for TLS and a password: who is let in, and what the others are told."""

import socket
from pathlib import Path
from typing import Any

import pytest
import trustme
from cassandra.cluster import Session as DriverSession

from tests import servers
from tests.contract.cassandra_stacks import stack_at
from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.migrations import migrate, standing
from tocsin.engines.errors import EngineError, Misconfigured
from tocsin.topology import CassandraStack

KEYSPACE = "secured"


@pytest.fixture(scope="module")
def node() -> servers.SecuredCassandra:
    return servers.secured_cassandra()


def stack_of(node: servers.SecuredCassandra, tmp_path: Path, password: str, **more: Any) -> CassandraStack:
    (tmp_path / "password").write_text(f"{password}\n")
    login = {"by": "password", "username": node.username, "password_file": "password"}
    return stack_at(node.host, node.port, KEYSPACE, **{"tls": {"ca_file": str(node.ca_file)}, "login": login} | more)


def told(stack: CassandraStack, tmp_path: Path) -> EngineError:
    with pytest.raises(EngineError) as raised:
        standing(stack, tmp_path)
    return raised.value


def test_with_the_right_password_over_tls_everything_works(node: servers.SecuredCassandra, tmp_path: Path) -> None:
    stack = stack_of(node, tmp_path, node.password)
    assert migrate(stack, tmp_path, known=()).has_keyspace
    session: DriverSession = connect(stack, tmp_path, request_s=10)
    session.execute(f"DROP KEYSPACE {KEYSPACE}")
    session.cluster.shutdown()


def test_a_wrong_password_is_said_to_be_wrong_and_is_not_shown(node: servers.SecuredCassandra, tmp_path: Path) -> None:
    error = told(stack_of(node, tmp_path, "a wrong one"), tmp_path)
    assert isinstance(error, Misconfigured)
    assert "check the login" in str(error)
    assert "a wrong one" not in str(error)


def test_nobody_is_let_in_without_a_login(node: servers.SecuredCassandra, tmp_path: Path) -> None:
    error = told(stack_of(node, tmp_path, node.password, login=None), tmp_path)
    assert isinstance(error, Misconfigured)
    assert "check the login" in str(error)


def test_a_certificate_of_an_authority_that_we_do_not_trust_is_refused(
    node: servers.SecuredCassandra, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    error = told(stack_of(node, tmp_path, node.password, tls={"ca_file": "other.pem"}), tmp_path)
    assert isinstance(error, Misconfigured)
    assert "signed by a CA of ca_file" in str(error)


@pytest.mark.parametrize("flavor", ["cassandra", "keyspaces"])
def test_a_certificate_is_checked_for_the_name_by_which_the_node_was_reached(
    node: servers.SecuredCassandra, flavor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_of(node, tmp_path, node.password, flavor=flavor)
    named = stack.model_copy(update={"contact_points": (f"localhost:{node.port}",)})
    assert not standing(named, tmp_path).has_keyspace

    resolve = socket.getaddrinfo
    here = {"cassandra.example": node.host}  # a name of the node that its certificate does not have
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **by: resolve(here.get(host, host), *more, **by))
    misnamed = stack.model_copy(update={"contact_points": (f"cassandra.example:{node.port}",)})
    error = told(misnamed, tmp_path)
    assert isinstance(error, Misconfigured)
    assert "name the node as we reached it" in str(error)
