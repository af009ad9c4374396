"""What a set writes before it starts: servers and region files fit together, and the compose file runs the same."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tocsin.config import load_yaml
from tocsin.ops.local.artifacts import POMS, Kind
from tocsin.ops.local.folder import SetFolder
from tocsin.ops.local.set import ServerSet
from tocsin.settings import Settings
from tocsin.topology import CassandraStack, KafkaLog, Topology, load_topology

ROOT = Path(__file__).parents[4]
OF_THE_NETWORK = re.compile(r"listener|bootstrap|voters|log\.dirs|^clusters$")
"""Properties in which containers differ."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSet]:
    """A set whose files are written, and of which nothing was started."""
    jars = tmp_path_factory.mktemp("jars")
    (jars / "jamm-0.4.0.jar").touch()
    planned = ServerSet(
        SetFolder(tmp_path_factory.mktemp("set")), Settings(regions_dir=ROOT / "regions" / "local"), print
    )
    planned.plan("java", dict.fromkeys(Kind, jars))
    yield planned
    asyncio.run(planned.stop())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return load_yaml(ROOT / "deploy" / "compose.yaml")


def properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def of(planned: ServerSet, server: str, file: str) -> dict[str, str]:
    return properties((planned.folder.server(server) / file).read_text())


def without_network(settings: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if not OF_THE_NETWORK.search(key)}


def test_clients_of_a_path_are_told_the_path_and_not_the_broker(planned: ServerSet) -> None:
    settings = of(planned, "broker-a", "server.properties")
    listens, tells = (
        {name: int(port) for name, port in re.findall(r"(\w+)://[\d.]+:(\d+)", settings[key])}
        for key in ("listeners", "advertised.listeners")
    )

    for listener, path in {"ROLES": "broker-a", "MIRROR_B": "mirror-a-b"}.items():
        assert tells[listener] == planned.paths[path].port != listens[listener]
        assert planned.paths[path].status["server_port"] == listens[listener]
    assert tells["DIRECT"] == listens["DIRECT"]


def test_a_mirror_reads_through_its_path_writes_straight_and_goes_one_way(planned: ServerSet) -> None:
    settings = of(planned, "mirror-a-b", "mirror.properties")
    region = next(one for one in planned.status["regions"] if one["name"] == "b")

    assert settings["a.bootstrap.servers"] == f"127.0.0.1:{planned.paths['mirror-a-b'].port}"
    assert settings["b.bootstrap.servers"] == region["direct_bootstrap"]
    assert (settings["a->b.enabled"], settings["b->a.enabled"]) == ("true", "false")
    assert settings["a->b.topics"].split(",")[:2] == ["requests", "ledger"]


def test_no_two_servers_or_paths_have_one_port(planned: ServerSet) -> None:
    ports = [int(port) for path in planned.paths.values() for port in (path.port, path.status["server_port"])]
    for name in ("a", "b"):
        settings = of(planned, f"broker-{name}", "server.properties")
        ports += [int(port) for port in re.findall(r"(?:DIRECT|CONTROLLER)://[\d.]+:(\d+)", settings["listeners"])]
        node = load_yaml(planned.folder.server(f"cassandra-{name}") / "cassandra.yaml")
        ports.append(node["storage_port"])

    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("kind", ["planned", "deploy"])
def test_region_files_differ_from_those_they_are_made_of_in_their_engines_alone(planned: ServerSet, kind: str) -> None:
    made = load_topology(planned.folder.regions if kind == "planned" else ROOT / "deploy" / "regions")
    engines = {"log", "stacks"}

    def rest(topology: Topology) -> list[dict[str, Any]]:
        return [region.model_dump(exclude=engines) for region in topology.regions]

    assert rest(made) == rest(load_topology(ROOT / "regions" / "local"))
    for region in made.regions:
        assert isinstance(region.log, KafkaLog)
        assert isinstance(region.stacks["blue"], CassandraStack)


def test_files_that_may_hold_secrets_are_their_owners_alone(planned: ServerSet) -> None:
    for server, file in {"broker-a": "server.properties", "cassandra-a": "cassandra.yaml"}.items():
        assert (planned.folder.server(server) / file).stat().st_mode & 0o077 == 0


def test_containers_run_the_versions_of_the_poms(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}

    assert sorted(images) == ["broker-a", "broker-b", "cassandra-a", "cassandra-b", "mirror-a-b", "mirror-b-a"]
    for name, image in images.items():
        kind = {"broker": "kafka", "mirror": "mirrormaker"}.get(name.split("-")[0], "cassandra")
        version = re.search(
            r"<artifactId>(?:kafka_2.13|connect-mirror|cassandra-all)</artifactId>\s*<version>([\d.]+)",
            (POMS / f"{kind}.xml").read_text(),
        )
        assert version
        assert image.endswith(f":{version[1]}")


def test_brokers_in_containers_have_the_same_settings(compose: dict[str, Any], planned: ServerSet) -> None:
    environment = compose["services"]["broker-a"]["environment"]
    settings = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name != "KAFKA_HEAP_OPTS"
    }

    assert without_network(settings) == without_network(of(planned, "broker-a", "server.properties"))


@pytest.mark.parametrize("name", ["mirror-a-b", "mirror-b-a"])
def test_mirrors_in_containers_have_the_same_settings(compose: dict[str, Any], planned: ServerSet, name: str) -> None:
    settings = properties(compose["configs"][name]["content"])
    ours = of(planned, name, "mirror.properties")
    ours = {key: value.removesuffix(",tocsin-probe") for key, value in ours.items()}

    assert without_network(settings) == without_network(ours)


def test_clients_of_containers_are_told_the_ports_of_the_region_files(compose: dict[str, Any]) -> None:
    for region in load_topology(ROOT / "deploy" / "regions").regions:
        broker, node = (compose["services"][f"{kind}-{region.name}"] for kind in ("broker", "cassandra"))
        stack = region.stacks["blue"]
        assert isinstance(region.log, KafkaLog)
        assert isinstance(stack, CassandraStack)
        assert broker["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(f"ROLES://{region.log.bootstrap[0]}")
        assert broker["ports"] == [f"{region.log.bootstrap[0]}:9094"]
        assert node["ports"] == [f"{stack.contact_points[0]}:9042"]
