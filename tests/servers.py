"""A Kafka broker and a Cassandra node for tests, started at their first use and ended with the test run.

    kafka_bootstrap() -> str                   "127.0.0.1:port" of a broker, plain text
    cassandra_contact() -> (host, port)        a node without passwords; its data center is `LOCAL_DC`
    secured_kafka() -> SecuredKafka            another broker, SASL_SSL with SCRAM-SHA-512
    secured_cassandra() -> SecuredCassandra    another node, TLS and passwords

All tests of a run share them: take topics and keyspaces of a name of your own (`unique("orders")`), and drop them if
they are large. The first call of each takes some ten seconds, and blocks: call it from a fixture that is no coroutine.
`tocsin local fetch` before the tests brings the jars, so that the network is in nobody's time limit.

Where Java or Maven is missing the calling test is skipped, with the reason; in CI (the variable CI is set) it fails.
`make test-fast` leaves out all of them (the variable WITHOUT_SERVERS is set).
"""

import asyncio
import atexit
import functools
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tocsin.ops.local import cassandra, kafka
from tocsin.ops.local.artifacts import Kind, Lacking, jars, java
from tocsin.ops.local.ports import HOST, Ports
from tocsin.ops.local.program import Program
from tocsin.ops.local.servers import Server

LOCAL_DC: Final = cassandra.LOCAL_DC
USERNAME: Final = "tocsin"
PASSWORD: Final = "a password of tests"
T = TypeVar("T")


class SecuredKafka(NamedTuple):
    bootstrap: str
    ca_file: Path
    username: str
    password: str


class SecuredCassandra(NamedTuple):
    host: str
    port: int
    ca_file: Path
    username: str
    password: str


def require_servers() -> None:
    """For tests that have a command start servers: brings the jars, so that no time limit of theirs pays for it."""

    async def bring() -> None:
        await java()
        for kind in Kind:
            await jars(kind, print)

    _run().awaited(bring())


def kafka_bootstrap() -> str:
    return f"{HOST}:{_run().kafka_port}"


def cassandra_contact() -> tuple[str, int]:
    return HOST, _run().cassandra_port


def secured_kafka() -> SecuredKafka:
    run = _run()
    return SecuredKafka(f"{HOST}:{run.secured_kafka_port}", run.ca_file, USERNAME, PASSWORD)


def secured_cassandra() -> SecuredCassandra:
    run = _run()
    user = cassandra.SUPERUSER
    return SecuredCassandra(HOST, run.secured_cassandra_port, run.ca_file, user, user)


def unique(word: str) -> str:
    """A name that no other test of this run has."""
    return f"{word}_{next(_numbers)}"


_numbers = itertools.count(1)


@functools.cache
def _run() -> "_Run":
    if os.environ.get("WITHOUT_SERVERS"):
        pytest.skip("needs servers, and this run is without")
    return _Run()


class _Run:
    """The servers of one test run. They are started from a thread with a loop of its own, which lives to the end of the
    run: tests have a loop each, and a server ends with the thread that started it.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tocsin-servers-"))
        self._ports = Ports()
        self._servers: list[Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    @functools.cached_property
    def kafka_port(self) -> int:
        return self.awaited(self._broker("kafka", None))

    @functools.cached_property
    def cassandra_port(self) -> int:
        return self.awaited(self._node("cassandra", None))

    @functools.cached_property
    def secured_kafka_port(self) -> int:
        security = kafka.Security(self._pem("all"), self.ca_file, USERNAME, PASSWORD)
        return self.awaited(self._broker("secured-kafka", security))

    @functools.cached_property
    def secured_cassandra_port(self) -> int:
        security = cassandra.Security(self._pem("key"), self._pem("chain"), self.ca_file)
        return self.awaited(self._node("secured-cassandra", security))

    @functools.cached_property
    def ca_file(self) -> Path:
        """The certificate of an authority of this run, which has given the servers theirs."""
        authority = trustme.CA()
        given = authority.issue_cert(HOST, "localhost")
        authority.cert_pem.write_to_path(str(self._folder / "ca.pem"))
        key = load_pem_private_key(given.private_key_pem.bytes(), None)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # Java reads no other
        chain_pem = b"".join(pem.bytes() for pem in given.cert_chain_pems)
        for name, pem in {"key": key_pem, "chain": chain_pem, "all": key_pem + chain_pem}.items():
            self._pem(name).write_bytes(pem)
        return self._folder / "ca.pem"

    def _pem(self, what: str) -> Path:
        return self._folder / f"{what}.pem"

    async def _broker(self, name: str, security: kafka.Security | None) -> int:
        runtime = kafka.Java(await java(), await jars(Kind.KAFKA, print))
        port = self._ports.reserve()
        listeners = [kafka.Listener("ROLES", port, port)]
        folder = self._folder / name
        await self._start(kafka.broker(name, folder, runtime, listeners, self._ports.reserve(), security))
        return port

    async def _node(self, name: str, security: cassandra.Security | None) -> int:
        executable, folder = await java(), await jars(Kind.CASSANDRA, print)
        storage, native = self._ports.reserve(), self._ports.reserve()
        await self._start(cassandra.node(name, self._folder / name, executable, folder, storage, native, security))
        return native

    async def _start(self, program: Program) -> None:
        server = Server(program, print)
        self._servers.append(server)
        await server.start()

    def awaited(self, starting: Coroutine[Any, Any, T]) -> T:
        """What comes of it; the test ends here where something that servers need is missing."""
        try:
            return asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        except Lacking as error:
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))

    def _end(self) -> None:
        async def stop() -> None:
            await asyncio.gather(*(server.kill() for server in self._servers if server.pid))

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._ports.close()
        shutil.rmtree(self._folder)
