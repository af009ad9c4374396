"""TLS: what a server presents to its clients, looked after while it runs.

Certificates end, so whoever issues them replaces their files, and a server that reads them only at its start serves the
old one until it ends with it. So the files are looked at again and again: new connections get the new certificate, open
ones go on, and nobody is restarted. A certificate that cannot be used never replaces one that can.
"""

import asyncio
import datetime as dt
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tocsin.engines.authority import LocalAuthority
from tocsin.engines.errors import Misconfigured
from tocsin.settings import Settings
from tocsin.topology import Server, TlsFiles

LOOK_EVERY_S: Final = 60.0
_log = logging.getLogger(__name__)


class Files(NamedTuple):
    """PEM files of a certificate (with those between it and its CA) and its key; the two may be one."""

    certificate: Path
    key: Path


class Presented:
    """What a server presents. `context` is the server's, for all its life."""

    def __init__(self, find: Callable[[], Files]) -> None:
        """`find` says where the files are now, and may make them. Raises `Misconfigured`."""
        self._find = find
        self._loaded = b""
        self.problems: list[str] = []
        """Why what is presented could not be renewed at the last look, empty when all is well."""
        self.context = _context()
        self._load()

    def look(self) -> None:
        """Takes a new certificate if there is one; keeps the old when it cannot be used, and says so."""
        try:
            self._load()
        except Misconfigured as error:
            if not self.problems:
                _log.error("%s", error, extra={"action": "certificate_unusable"})
            self.problems = [str(error)]
        else:
            self.problems = []

    async def keep(self) -> None:
        """Looks again and again."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def _load(self) -> None:
        files = self._find()
        try:
            content = files.certificate.read_bytes() + files.key.read_bytes()
            if content == self._loaded:
                return
            _context().load_cert_chain(*files)  # tried where it cannot spoil what is in use
            self.context.load_cert_chain(*files)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(
                f"the certificate {files.certificate} with the key {files.key} cannot be used: {error}. Both must be "
                "PEM files, the key without a password, and belong together"
            ) from error
        if self._loaded:
            _log.info("presents a new certificate", extra={"action": "certificate_renewed"})
        self._loaded = content


def presented(name: str, server: Server, settings: Settings) -> Presented | None:
    """What the server of this name presents, None when it speaks plain HTTP. Raises `Misconfigured`."""
    match server.tls:
        case None:
            return None
        case TlsFiles() as given:
            files = Files(settings.path(given.cert_file), settings.path(given.key_file))
            return Presented(lambda: files)
        case "local":
            authority = LocalAuthority(settings.path(settings.authority_dir))

            def certify() -> Files:
                certificate = authority.certify(name, [server.host], now=dt.datetime.now(dt.UTC))
                return Files(certificate.file, certificate.file)

            return Presented(certify)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
