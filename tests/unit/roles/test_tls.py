"""What servers present: from files or from the local authority, renewed while they run, and never for the worse."""

import shutil
import ssl
from pathlib import Path

import pytest
import trustme

from tests.unit.doors import Door, opened
from tocsin.engines.errors import Misconfigured
from tocsin.roles.asgi import Receive, Scope, Send
from tocsin.roles.tls import Files, Presented, presented
from tocsin.settings import Settings
from tocsin.topology import Server, TlsFiles


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(ca: trustme.CA, tmp_path: Path) -> Files:
    files = Files(tmp_path / "cert.pem", tmp_path / "key.pem")
    issue(ca, files)
    return files


@pytest.fixture
def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def issue(ca: trustme.CA, files: Files) -> None:
    issued = ca.issue_cert("127.0.0.1")
    (certificate,) = issued.cert_chain_pems
    certificate.write_to_path(files.certificate)
    issued.private_key_pem.write_to_path(files.key)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def serial_seen(server: Door, trusting: ssl.SSLContext) -> str:
    with server.connect() as raw, trusting.wrap_socket(raw, server_hostname="127.0.0.1") as client:
        certificate = client.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])


def test_a_new_certificate_is_presented_to_new_connections_while_open_ones_go_on(
    ca: trustme.CA, files: Files, trusting: ssl.SSLContext
) -> None:
    presents = Presented(lambda: files)
    with opened(app, presents) as server, server.connect(trusting) as open_one:
        before = serial_seen(server, trusting)
        presents.look()
        assert serial_seen(server, trusting) == before
        issue(ca, files)
        presents.look()
        after = serial_seen(server, trusting)
        open_one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert open_one.recv(1_000).startswith(b"HTTP/1.1 200")

    assert after != before
    assert presents.problems == []


@pytest.mark.parametrize("damage", ["noise", "gone", "another's key"])
def test_a_certificate_that_cannot_be_used_replaces_none_and_is_told_until_it_is_mended(
    damage: str, ca: trustme.CA, files: Files, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    presents = Presented(lambda: files)
    with opened(app, presents) as server:
        before = serial_seen(server, trusting)
        if damage == "noise":
            files.certificate.write_bytes(b"noise")
        elif damage == "gone":
            files.key.unlink()
        else:
            other = Files(tmp_path / "other.pem", files.key)
            issue(ca, other)
        presents.look()
        assert serial_seen(server, trusting) == before
        assert "cannot be used" in presents.problems[0]
        issue(ca, files)
        presents.look()
        assert serial_seen(server, trusting) != before
        assert presents.problems == []


def test_a_server_that_has_nothing_to_present_does_not_start(files: Files) -> None:
    files.key.write_bytes(b"noise")

    with pytest.raises(Misconfigured, match="must be PEM files"):
        Presented(lambda: files)


def test_files_of_a_region_file_are_found_from_the_data_directory(files: Files, tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path)
    server = Server(tls=TlsFiles(cert_file=Path("cert.pem"), key_file=Path("key.pem")))

    assert presented("a-intake", server, settings) is not None
    shutil.move(files.key, tmp_path / "moved.pem")
    with pytest.raises(Misconfigured, match=str(tmp_path / "key.pem")):
        presented("a-intake", server, settings)


def test_the_local_authority_certifies_the_host_of_the_region_file(tmp_path: Path) -> None:
    settings = Settings.load(data_dir=tmp_path)
    made = presented("a-intake", Server(host="127.0.0.1", tls="local"), settings)
    trusting = ssl.create_default_context(cafile=tmp_path / "authority" / "ca.pem")

    with opened(app, made) as server:
        assert serial_seen(server, trusting)


def test_without_tls_nothing_is_presented_and_no_authority_is_made(tmp_path: Path) -> None:
    assert presented("a-intake", Server(), Settings.load(data_dir=tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
