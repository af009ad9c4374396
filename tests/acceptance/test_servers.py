"""The servers that tests share are real, and those that ask for credentials refuse whoever has none."""

import asyncio
import ssl

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable

from tests import servers
from tocsin.ops.local import kafka

pytestmark = pytest.mark.timeout(180)  # the first that asks for a server waits for it


async def test_a_broker_carries_a_record() -> None:
    bootstrap = await asyncio.to_thread(servers.kafka_bootstrap)

    await kafka.round_trip(bootstrap, bootstrap, kafka.PROBE, kafka.PROBE)


async def test_a_secured_broker_refuses_a_wrong_password() -> None:
    place = await asyncio.to_thread(servers.secured_kafka)
    right = kafka.Security(place.ca_file, place.ca_file, place.username, place.password).client
    admin = AIOKafkaAdminClient(bootstrap_servers=place.bootstrap, **(right | {"sasl_plain_password": "another"}))

    with pytest.raises(KafkaConnectionError):
        await admin.start()
    await admin.close()

    await kafka.round_trip(place.bootstrap, place.bootstrap, kafka.PROBE, kafka.PROBE, right)


def test_a_node_answers() -> None:
    host, port = servers.cassandra_contact()

    with Cluster([host], port=port, protocol_version=5) as cluster:
        assert cluster.connect().execute("SELECT release_version FROM system.local").one()[0].startswith("5.0")


def test_a_secured_node_refuses_a_wrong_password() -> None:
    place = servers.secured_cassandra()

    def connect(password: str) -> None:
        with Cluster(
            [place.host],
            port=place.port,
            protocol_version=5,
            ssl_context=ssl.create_default_context(cafile=str(place.ca_file)),
            ssl_options={"server_hostname": place.host},
            auth_provider=PlainTextAuthProvider(place.username, password),
        ) as cluster:
            cluster.connect()

    with pytest.raises(NoHostAvailable, match=r"Bad credentials|incorrect"):
        connect("another")
    connect(place.password)
