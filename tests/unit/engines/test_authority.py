"""The local authority: what it signs is believed by clients that have its CA, is renewed in time, and is made once."""

import concurrent.futures
import datetime as dt
import multiprocessing
import socket
import ssl
import threading
from pathlib import Path

import pytest

from tocsin.engines.authority import CERTIFICATE_LIFE, RENEW_BEFORE_END, Certificate, LocalAuthority
from tocsin.engines.errors import Misconfigured

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


def shake_hands(certificate: Path, ca_file: Path, host: str) -> str:
    """A handshake over a pair of sockets, as strict as OpenSSL can be; returns the protocol."""
    ours, theirs = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=ca_file)
    client.verify_flags |= ssl.VERIFY_X509_STRICT

    def accept() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()  # the client's side says what was wrong

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=host) as wrapped:
            return str(wrapped.version())
    finally:
        ours.close()
        thread.join()


NAMES = ["intake.example.net", "192.0.2.7", "alarm.bücher.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", *NAMES])
def test_a_client_that_has_the_ca_believes_a_server_under_each_of_its_names(host: str, tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    certificate = authority.certify("a-intake", NAMES, now=NOW)

    assert shake_hands(certificate.file, authority.ca_file, host) == "TLSv1.3"


def test_a_client_believes_no_other_name_and_no_other_ca(tmp_path: Path) -> None:
    authority, other = LocalAuthority(tmp_path / "ours"), LocalAuthority(tmp_path / "other")
    certificate = authority.certify("a-intake", [], now=NOW)

    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(certificate.file, authority.ca_file, "intake.example.net")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificate.file, other.ensure(now=NOW), "localhost")


def test_what_is_there_and_good_is_used_again(tmp_path: Path) -> None:
    first = LocalAuthority(tmp_path).certify("a-intake", ["example.net"], now=NOW)
    content, ca = first.file.read_bytes(), LocalAuthority(tmp_path).ca_file.read_bytes()

    again = LocalAuthority(tmp_path).certify("a-intake", ["example.net"], now=NOW + DAY)

    assert again.file.read_bytes() == content
    assert abs(again.renew_at - first.renew_at) < dt.timedelta(seconds=1)
    assert LocalAuthority(tmp_path).ca_file.read_bytes() == ca


def test_a_certificate_is_renewed_before_its_end_under_the_same_ca(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    began = NOW - CERTIFICATE_LIFE
    first = authority.certify("a-intake", [], now=began)
    content, ca = first.file.read_bytes(), authority.ca_file.read_bytes()
    assert first.renew_at == began + CERTIFICATE_LIFE - RENEW_BEFORE_END

    early = authority.certify("a-intake", [], now=first.renew_at - DAY).file.read_bytes()
    renewed = authority.certify("a-intake", [], now=NOW)

    assert early == content
    assert renewed.file.read_bytes() != content
    assert authority.ca_file.read_bytes() == ca
    assert shake_hands(renewed.file, authority.ca_file, "localhost")


def test_other_names_another_ca_or_a_damaged_file_mean_a_new_certificate(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path / "authority")
    file = authority.certify("a-intake", [], now=NOW).file
    seen = {file.read_bytes()}

    authority.certify("a-intake", ["example.net"], now=NOW)
    seen.add(file.read_bytes())
    file.write_bytes(b"noise")
    authority.certify("a-intake", ["example.net"], now=NOW)
    seen.add(file.read_bytes())
    foreign = LocalAuthority(tmp_path / "other").certify("a-intake", ["example.net"], now=NOW).file.read_bytes()
    file.write_bytes(foreign)
    authority.certify("a-intake", ["example.net"], now=NOW)
    seen.add(file.read_bytes())

    assert len(seen) == 4
    assert foreign not in seen
    assert shake_hands(file, authority.ca_file, "example.net")


def test_keys_are_their_owners_alone_and_the_ca_s_key_is_in_no_other_file(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    certificate = authority.certify("a-intake", [], now=NOW)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["ca.key"] == modes["a-intake.pem"] == 0o600
    assert modes["ca.pem"] == 0o644
    secret = (tmp_path / "ca.key").read_text(encoding="ascii").splitlines()[1]
    assert secret not in certificate.file.read_text(encoding="ascii")
    assert b"PRIVATE" not in authority.ca_file.read_bytes()


def certify(directory: Path) -> Certificate:
    return LocalAuthority(directory).certify("a-intake", [], now=NOW)


def test_processes_that_start_at_once_get_one_ca_and_one_certificate(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        certificates = list(pool.map(certify, [tmp_path] * 8))

    assert len(set(certificates)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-intake.pem", "ca.key", "ca.pem", "lock"]
    assert shake_hands(certificates[0].file, tmp_path / "ca.pem", "localhost")


def test_a_kill_between_the_key_and_the_certificate_of_the_ca_leaves_nothing_to_repair(tmp_path: Path) -> None:
    (tmp_path / "ca.key").write_bytes(b"half a k")

    assert certify(tmp_path).file.exists()


@pytest.mark.parametrize("damage", ["ca.key", "ca.pem"])
def test_a_ca_that_cannot_be_used_is_an_error_that_says_what_to_do(damage: str, tmp_path: Path) -> None:
    certify(tmp_path)
    (tmp_path / damage).write_bytes(b"noise")

    with pytest.raises(Misconfigured, match=r"move .* away"):
        certify(tmp_path)


def test_a_key_that_is_not_the_ca_s_is_an_error(tmp_path: Path) -> None:
    for name in ("ours", "other"):
        certify(tmp_path / name)
    (tmp_path / "ours" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())

    with pytest.raises(Misconfigured, match="is not the key of"):
        certify(tmp_path / "ours")


def test_a_ca_that_has_ended_is_an_error_and_no_certificate_outlives_it(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path)
    authority.ensure(now=NOW)
    end = NOW + dt.timedelta(days=3650)

    assert authority.certify("a-intake", [], now=end - DAY).renew_at <= end - RENEW_BEFORE_END
    with pytest.raises(Misconfigured, match="the CA ended on"):
        authority.certify("a-intake", [], now=end + DAY)


def test_a_folder_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(Misconfigured, match="cannot be used"):
        certify(tmp_path / "file" / "authority")
