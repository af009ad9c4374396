"""The local authority: a CA of this machine, that signs what its regions' servers present.

It makes TLS the normal case where nobody runs a CA: two regions on one machine, the demo, the tests. The CA lives as
long as the data directory; the certificates that it signs live for a week and are made anew long before they end, under
the same CA, so clients are given `ca.pem` once.

The CA's key stays in its folder, readable by its owner alone. A certificate is in one file with its key, so both are
replaced at once. Everything happens under a lock, so processes that start together get one CA and one certificate.
"""

import datetime as dt
import fcntl
import ipaddress
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tocsin.engines.errors import Misconfigured
from tocsin.settings import CA_FILE

CA_LIFE: Final = dt.timedelta(days=3650)
CERTIFICATE_LIFE: Final = dt.timedelta(days=7)
RENEW_BEFORE_END: Final = dt.timedelta(days=3)
"""So a machine may sleep over a long weekend and still find a certificate that is good."""
BACKDATED: Final = dt.timedelta(hours=1)
"""What the clock of a client may be behind ours."""
ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
"""The names by which every server of this machine is known."""
_Key = ec.EllipticCurvePrivateKey


class Certificate(NamedTuple):
    """What a server presents: one PEM file with its key and certificate, to be asked for again at `renew_at`."""

    file: Path
    renew_at: dt.datetime


class LocalAuthority:
    """The CA of a folder. Two of them over one folder, also in two processes, are one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca_file = directory / CA_FILE
        """What clients check servers by; it is there once `ensure` or `certify` was called."""
        self._key_file = directory / "ca.key"

    def ensure(self, *, now: dt.datetime) -> Path:
        """Makes the CA if there is none; returns its certificate's file. Raises `Misconfigured`."""
        with self._locked():
            self._ca(now)
        return self.ca_file

    def certify(self, name: str, hosts: Iterable[str], *, now: dt.datetime) -> Certificate:
        """The certificate of a server, for `hosts` besides the names of this machine; made anew when it is time.

        The name is a file's. Raises `Misconfigured` when the CA has ended, or its files cannot be used.
        """
        wanted = frozenset(_general_name(host) for host in (*ALWAYS, *hosts))
        file = self._directory / f"{name}.pem"
        with self._locked():
            ca, ca_key = self._ca(now)
            ends = _end_of_usable(file, ca, wanted)
            if ends is None or (ends - RENEW_BEFORE_END <= now and ends < ca.not_valid_after_utc):
                ends = min(now.replace(microsecond=0) + CERTIFICATE_LIFE, ca.not_valid_after_utc)
                _write(file, _issue(name, wanted, ca, ca_key, (now - BACKDATED, ends)))
        return Certificate(file, ends - RENEW_BEFORE_END)

    # The CA ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # held for as long as it takes to make two keys
                yield
        except OSError as error:
            raise Misconfigured(f"the local authority in {self._directory} cannot be used: {error}") from error

    def _ca(self, now: dt.datetime) -> tuple[x509.Certificate, _Key]:
        if not self.ca_file.exists():  # it is written last: without it there is no CA yet
            key = ec.generate_private_key(ec.SECP256R1())
            _write(self._key_file, _pem(key))
            _write(self.ca_file, _self_signed(key, now).public_bytes(Encoding.PEM), mode=0o644)
        remedy = f"move {self._directory} away, start again, and give clients the new {self.ca_file.name}"
        try:
            ca = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
            ca_key = load_pem_private_key(self._key_file.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise Misconfigured(f"the CA's files cannot be read ({error}): {remedy}") from error
        if not isinstance(ca_key, _Key) or ca_key.public_key() != ca.public_key():
            raise Misconfigured(f"{self._key_file} is not the key of {self.ca_file}: {remedy}")
        if ca.not_valid_after_utc <= now:
            raise Misconfigured(f"the CA ended on {ca.not_valid_after_utc:%Y-%m-%d}: {remedy}")
        return ca, ca_key


def _end_of_usable(file: Path, ca: x509.Certificate, wanted: frozenset[x509.GeneralName]) -> dt.datetime | None:
    """When the certificate of a file ends; None when it is not one of this CA for these names, with its key."""
    try:
        pem = file.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if load_pem_private_key(pem, None).public_key() != certificate.public_key():
            return None
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    return certificate.not_valid_after_utc if frozenset(names) == wanted else None


# Certificates --------------------------------------------------------------------------------------------------------


def _self_signed(key: _Key, now: dt.datetime) -> x509.Certificate:
    name = _name("Tocsin local authority")
    builder = _builder(name, name, key, (now - BACKDATED, now + CA_LIFE), key)
    usage = _usage(key_cert_sign=True, crl_sign=True)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _issue(
    name: str,
    hosts: frozenset[x509.GeneralName],
    ca: x509.Certificate,
    ca_key: _Key,
    validity: tuple[dt.datetime, dt.datetime],
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(name), ca.subject, key, validity, ca_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(sorted(hosts, key=repr)), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _pem(key) + certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: _Key, validity: tuple[dt.datetime, dt.datetime], issuer_key: _Key
) -> x509.CertificateBuilder:
    begins, ends = validity
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())


# Files ---------------------------------------------------------------------------------------------------------------


def _pem(key: _Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes, *, mode: int = 0o600) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # readable by its owner alone
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        Path(name).chmod(mode)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
