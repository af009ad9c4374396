"""Region files: what is right is read, and each way to be wrong is named by file and field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tocsin.config import ConfigError
from tocsin.core.limits import Limits
from tocsin.topology import (
    AwsIdentity,
    CassandraStack,
    KafkaLog,
    Scram,
    load_region,
    load_topology,
    region_schema,
)

REGIONS = Path(__file__).parents[2] / "regions"
NAMES = ("a", "b", "c")

Change = Callable[[dict[str, dict[str, Any]]], object]


def region_data(name: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "partitions": 4,
        "peers": [{"name": peer, "mirror_prefix": f"{peer}."} for peer in names if peer != name],
        "log": {"engine": "embedded", "path": f"{name}/log.sqlite", "retention_s": 3600},
        "stacks": {"blue": {"engine": "sqlite", "path": f"{name}/blue.sqlite"}},
        "serving_stack": "blue",
        "directory": "directory.yaml",
    }


def written(directory: Path, change: Change = lambda _: None, names: tuple[str, ...] = ("a", "b")) -> Path:
    """A folder of region files that fit, but for the change."""
    regions = {name: region_data(name, names) for name in names}
    change(regions)
    for name, data in regions.items():
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return directory


KAFKA = {"engine": "kafka", "bootstrap": ["127.0.0.1:9092"], "retention_s": 60}
CASSANDRA = {
    "engine": "cassandra", "contact_points": ["127.0.0.1:9042"], "local_dc": "one", "keyspace": "a",
}  # fmt: skip


def complaints(directory: Path, overrides: dict[str, Any] | None = None) -> list[str]:
    """The problems of a folder, with file names for paths."""
    with pytest.raises(ConfigError) as caught:
        load_topology(directory, overrides)
    return str(caught.value).replace(f"{directory}/", "").splitlines()


def test_the_local_regions_fit_together() -> None:
    topology = load_topology(REGIONS / "local")

    assert topology.names == ("a", "b")
    assert [peer.name for peer in topology.region("a").peers] == ["b"]
    assert topology.region("a").limits == Limits()


@pytest.mark.parametrize("path", sorted((REGIONS / "local").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_local_region_file_keeps_the_schema_that_its_first_line_names(path: Path) -> None:
    first_line = path.read_text(encoding="utf-8").splitlines()[0]
    _, separator, place = first_line.partition("# yaml-language-server: $schema=")
    assert separator

    jsonschema.validate(
        yaml.safe_load(path.read_text(encoding="utf-8")),
        json.loads((path.parent / place).read_text(encoding="utf-8")),
        cls=jsonschema.Draft202012Validator,
    )


def test_the_schema_that_is_checked_in_is_that_of_the_models() -> None:
    checked_in = json.loads((REGIONS / "region.schema.json").read_text(encoding="utf-8"))

    assert checked_in == region_schema(), "run: tocsin config schema > regions/region.schema.json"


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(partitons=4),
        lambda a: a.update(intake={"tls": "locla"}),
        lambda a: a.update(intake={"tls": {"cert_file": "c.pem"}}),
        lambda a: a.update(limits={"grce_s": 1}),
        lambda a: a.update(limits={"grace_s": 0}),
        lambda a: a.update(stacks={"Blue": a["stacks"]["blue"]}),
        lambda a: a.update(partitions=0),
        lambda a: a.pop("log"),
    ],
)
def test_the_schema_refuses_what_the_service_refuses(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    directory = written(tmp_path, lambda regions: change(regions["a"]))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load((directory / "a.yaml").read_text(encoding="utf-8")), region_schema())
    with pytest.raises(ConfigError):
        load_topology(directory)


def test_topics_are_known_by_their_region_of_origin(tmp_path: Path) -> None:
    region = load_topology(written(tmp_path, names=NAMES)).region("b")

    assert region.requests_topics == {"b": "requests", "a": "a.requests", "c": "c.requests"}
    assert region.ledger_topics == {"b": "ledger", "a": "a.ledger", "c": "c.ledger"}


def test_a_region_is_founding_unless_its_file_says_otherwise(tmp_path: Path) -> None:
    topology = load_topology(written(tmp_path, lambda regions: regions["b"].update(founding=False)))

    assert [region.founding for region in topology.regions] == [True, False]


def test_one_region_alone_is_a_topology(tmp_path: Path) -> None:
    assert load_topology(written(tmp_path, names=("a",))).names == ("a",)


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ({"port": 8080}, "http://127.0.0.1:8080"),
        ({"host": "::1", "port": 8080}, "http://[::1]:8080"),
        ({"port": 8080, "tls": "local"}, "https://127.0.0.1:8080"),
        ({"port": 8080, "tls": {"cert_file": "c.pem", "key_file": "k.pem"}}, "https://127.0.0.1:8080"),
        ({"host": "127.0.0.1"}, None),
        ({"host": "0.0.0.0", "port": 8080}, None),
    ],
)
def test_the_address_for_clients_is_told_when_the_file_alone_tells_it(
    tmp_path: Path, server: dict[str, Any], url: str | None
) -> None:
    written(tmp_path, lambda regions: regions["a"].update(intake=server))

    assert load_region(tmp_path / "a.yaml").intake.url == url


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda a: a.update(partitons=4), "a.yaml: partitons: no such field; did you mean 'partitions'?"),
        (lambda a: a.update(intake={"tls": "locla"}), "a.yaml: intake.tls: should be 'local', is 'locla'"),
        (
            lambda a: a.update(intake={"tls": {"cert_file": "c.pem"}}),
            "a.yaml: intake.tls.key_file: is required and missing",
        ),
        (
            lambda a: a.update(querier={"tls": {"cert_file": "c.pem", "key_file": "k.pem", "ky_file": "k.pem"}}),
            "a.yaml: querier.tls.ky_file: no such field; did you mean 'key_file'?",
        ),
        (
            lambda a: a.update(limits={"grce_s": 4}),
            "a.yaml: limits.grce_s: no such field; did you mean 'grace_s'?",
        ),
        (
            lambda a: a["stacks"]["blue"].update(pth="x"),
            "a.yaml: stacks.blue.pth: no such field; did you mean 'path'?",
        ),
        (
            lambda a: a["peers"][0].update(prefix="b."),
            "a.yaml: peers.0.prefix: no such field; did you mean 'mirror_prefix'?",
        ),
        (lambda a: a["peers"][0].pop("mirror_prefix"), "a.yaml: peers.0.mirror_prefix: is required and missing"),
        (
            lambda a: a["peers"][0].update(mirror_prefix=""),
            "a.yaml: peers.0.mirror_prefix: should match pattern '^[A-Za-z0-9._-]{1,64}$', is ''",
        ),
        (lambda a: a.pop("log"), "a.yaml: log: is required and missing"),
        (
            lambda a: a["log"].update(engine="kafak"),
            "a.yaml: log.engine: no 'kafak'; did you mean 'kafka'?; known: embedded, kafka",
        ),
        (
            lambda a: a.update(partitions=True),
            "a.yaml: partitions: should be a valid integer, is True",
        ),
        (
            lambda a: a.update(intake={"port": 65536}),
            "a.yaml: intake.port: should be less than or equal to 65535, is 65536",
        ),
        (
            lambda a: a.update(limits={"grace_s": -1}),
            "a.yaml: limits: grace_s must be a number above 0, is -1.0",
        ),
        (
            lambda a: a.update(limits={"retry_max_s": float("inf")}),
            "a.yaml: limits: retry_max_s must be a number above 0, is inf",
        ),
        (lambda a: a.update(log=KAFKA | {"bootstrap": []}), "a.yaml: log.bootstrap: must name at least one host:port"),
        (
            lambda a: a.update(log=KAFKA | {"bootstrp": []}),
            "a.yaml: log.bootstrp: no such field; did you mean 'bootstrap'?",
        ),
        (
            lambda a: a.update(log=KAFKA | {"bootstrap": ["kafka"]}),
            "a.yaml: log.bootstrap.0: should be host:port, is 'kafka'",
        ),
        (
            lambda a: a.update(log=KAFKA | {"bootstrap": ["k.example:9092"]}),
            "a.yaml: log: bootstrap names k.example:9092, which is not on this machine, and tls is left out; set it",
        ),
        (
            lambda a: a.update(log=KAFKA | {"min_insync_replicas": 4}),
            "a.yaml: log: min_insync_replicas is 4, above replication_factor (3): nothing would ever be acknowledged",
        ),
        (
            lambda a: a.update(log=KAFKA | {"login": {"by": "scarm"}}),
            "a.yaml: log.login.by: no 'scarm'; did you mean 'scram'?; known: scram, aws",
        ),
        (
            lambda a: a.update(log=KAFKA | {"login": {"by": "scram", "username": "t"}}),
            "a.yaml: log.login.password_file: is required and missing",
        ),
        (
            lambda a: a["stacks"].update(blue=CASSANDRA | {"keyspace": "A b"}),
            "a.yaml: stacks.blue.keyspace: should match pattern '^[a-z][a-z0-9_]{0,47}$', is 'A b'",
        ),
        (
            lambda a: a["stacks"].update(blue=CASSANDRA | {"contact_points": ["127.0.0.1:1", "127.0.0.1:2"]}),
            "a.yaml: stacks.blue: contact_points name several ports: the nodes of a cluster listen on one",
        ),
        (
            lambda a: a["stacks"].update(blue=CASSANDRA | {"tls": {"cert_file": "c.pem"}}),
            "a.yaml: stacks.blue.tls: cert_file and key_file go together: one of them is missing",
        ),
        (lambda a: a["stacks"].update(blue={}), "a.yaml: stacks.blue: must say which engine: sqlite, cassandra"),
        (lambda a: a.update(serving_stack="green"), "a.yaml: serving_stack is 'green', which stacks does not list"),
        (lambda a: a["peers"].append(dict(a["peers"][0], name="a")), "a.yaml: peers lists 'a', the region itself"),
        (
            lambda a: a["peers"].append(a["peers"][0] | {"mirror_prefix": "x."}),
            "a.yaml: peers has the same name twice: 'b'",
        ),
        (
            lambda a: a["peers"].append(a["peers"][0] | {"name": "c"}),
            "a.yaml: peers has the same mirror_prefix twice: 'b.'",
        ),
    ],
)
def test_a_fault_of_one_file_is_named_by_file_and_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    assert complaints(written(tmp_path, lambda regions: change(regions["a"]))) == [complaint]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda regions: regions["b"].update(peers=[{"name": "c", "mirror_prefix": "c."}]),
            ["b.yaml: peers: lacks 'a': a.yaml lists 'b' as its peer"],
        ),
        (
            lambda regions: [
                regions[name].update(peers=[p for p in regions[name]["peers"] if p["name"] == "c"]) for name in "ab"
            ],
            [
                "a.yaml: peers: lacks 'b': nothing is passed on from a third region, so each mirrors from every other",
                "b.yaml: peers: lacks 'a': nothing is passed on from a third region, so each mirrors from every other",
            ],
        ),
        (
            lambda regions: regions["a"]["peers"].append({"name": "cc", "mirror_prefix": "cc."}),
            ["a.yaml: peers.2.name: no region 'cc'; did you mean 'c'?"],
        ),
        (
            lambda regions: regions["b"].update(partitions=8),
            ["b.yaml: partitions: is 8, but 4 in a.yaml: a key must have the same partition number in every region"],
        ),
        (
            lambda regions: regions["c"].update(intake={"port": 8080}, creator={"admin_port": 8080}),
            ["c.yaml: creator.admin_port: 8080 is used twice in this region: also intake.port of c.yaml"],
        ),
        (
            lambda regions: [regions[name].update(querier={"port": 8080}) for name in "bc"],
            ["c.yaml: querier.port: 8080 is used by two regions on this machine: also querier.port of b.yaml"],
        ),
        (
            lambda regions: regions["b"]["stacks"]["blue"].update(path="a/blue.sqlite"),
            ["b.yaml: stacks.blue.path: a/blue.sqlite is written by two: also stacks.blue.path of a.yaml"],
        ),
    ],
    ids=["one-sided", "not a mesh", "unknown peer", "partitions", "port in a region", "port on loopback", "file"],
)
def test_files_that_do_not_fit_together_are_named(tmp_path: Path, change: Change, expected: list[str]) -> None:
    assert complaints(written(tmp_path, change, NAMES)) == expected


def test_two_files_of_one_name_are_named(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "copy.yaml").write_bytes((tmp_path / "b.yaml").read_bytes())

    assert "copy.yaml: name: b is the name of two regions: also name of b.yaml" in complaints(tmp_path)


def test_regions_on_machines_of_their_own_may_use_one_port(tmp_path: Path) -> None:
    directory = written(
        tmp_path, lambda regions: [r.update(intake={"host": "0.0.0.0", "port": 80}) for r in regions.values()]
    )

    assert [region.intake.port for region in load_topology(directory).regions] == [80, 80]


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    def spoil(regions: dict[str, dict[str, Any]]) -> None:
        regions["a"].update(partitions=0, nme="a")
        regions["b"].pop("directory")

    assert complaints(written(tmp_path, spoil)) == [
        "a.yaml: partitions: should be greater than or equal to 1, is 0",
        "a.yaml: nme: no such field; did you mean 'name'?",
        "b.yaml: directory: is required and missing",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: a\nname: b\n", "a.yaml: line 2, column 1: the key 'name' stands twice"),
        ("log:\n  path: x\n  path: y\n", "a.yaml: line 3, column 3: the key 'path' stands twice"),
        ("name: [a\n", "a.yaml: line 2, column 1: did not find expected ',' or ']'"),
        ("- a\n", "a.yaml: must hold a mapping of fields to values"),
        ("", "a.yaml: must hold a mapping of fields to values"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    written(tmp_path)
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")

    (found,) = complaints(tmp_path)

    assert found.split(":")[:2] == complaint.split(":")[:2]
    assert found == complaint or "did not find" in complaint  # the parser's own words differ with its version


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00\xd8")

    assert complaints(tmp_path)[0].startswith("a.yaml: is not YAML that can be read")


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "a.yaml").write_text("a: " + "[" * 10_000, encoding="utf-8")

    assert complaints(tmp_path)[0].startswith("a.yaml: is not YAML that can be read")


def test_an_empty_or_missing_folder_is_told_with_the_option_that_names_another(tmp_path: Path) -> None:
    for directory, what in ((tmp_path, "has no region files (*.yaml)"), (tmp_path / "x", "no such folder")):
        with pytest.raises(ConfigError) as caught:
            load_topology(directory)
        assert str(caught.value) == f"{directory}: {what}; name the folder with --regions-dir or TOCSIN_REGIONS_DIR"


def test_a_region_of_another_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    topology = load_topology(written(tmp_path))

    with pytest.raises(ConfigError, match="no region 'aa'; did you mean 'a'"):
        topology.region("aa")


def test_an_override_replaces_a_field_in_every_region_and_leaves_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, lambda regions: regions["a"].update(limits={"held_max": 8}))

    topology = load_topology(tmp_path, {"limits": {"grace_s": 2}, "partitions": 8})

    assert [region.partitions for region in topology.regions] == [8, 8]
    assert [region.limits.grace_s for region in topology.regions] == [2, 2]
    assert [region.limits.held_max for region in topology.regions] == [8, Limits().held_max]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"limits": {"grce_s": 2}}, "TOCSIN_REGION__LIMITS__GRCE_S: no such field; did you mean 'grace_s'?"),
        ({"partitions": "x"}, "TOCSIN_REGION__PARTITIONS: should be a valid integer, is 'x'"),
        ({"log": 3}, "TOCSIN_REGION__LOG: should be a section with engine (embedded, kafka), is 3"),
    ],
)
def test_a_fault_of_an_override_is_named_by_its_variable_and_once(
    tmp_path: Path, overrides: dict[str, Any], complaint: str
) -> None:
    assert complaints(written(tmp_path), overrides) == [complaint]


def test_an_override_that_makes_two_regions_clash_is_refused(tmp_path: Path) -> None:
    (complaint,) = complaints(written(tmp_path), {"log": {"path": "same.sqlite"}})

    assert complaint == "b.yaml: log.path: same.sqlite is written by two: also log.path of a.yaml"


def test_two_regions_cannot_write_to_one_keyspace(tmp_path: Path) -> None:
    directory = written(tmp_path, lambda regions: [regions[name]["stacks"].update(blue=CASSANDRA) for name in "ab"])

    assert complaints(directory) == [
        "b.yaml: stacks.blue.keyspace: a of 127.0.0.1:9042 is written by two: also stacks.blue.keyspace of a.yaml"
    ]


def test_a_store_that_takes_no_write_times_of_ours_is_refused_with_the_reason(tmp_path: Path) -> None:
    def on_keyspaces(regions: dict[str, Any]) -> None:
        regions["a"]["stacks"]["blue"] = CASSANDRA | {"flavor": "keyspaces"}

    (complaint,) = complaints(written(tmp_path, on_keyspaces))

    assert complaint.startswith("a.yaml: stacks.blue.flavor: Amazon Keyspaces takes write times of two days back")


def test_a_region_on_kafka_and_cassandra_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    tls = {"ca_file": "ca.pem"}
    log = {"tls": tls, "login": {"by": "scram", "username": "t", "password_file": "p"}, "bootstrap": ["k.example:9096"]}
    store = {"tls": tls, "login": {"by": "aws", "aws_region": "eu-central-1"}}

    def real(regions: dict[str, Any]) -> None:
        for name in "ab":
            regions[name]["log"] = KAFKA | log
            regions[name]["stacks"] = {"blue": CASSANDRA | store | {"keyspace": name}}

    region = load_topology(written(tmp_path, real)).region("a")

    assert isinstance(region.log, KafkaLog)
    assert isinstance(region.log.login, Scram)
    assert region.log.min_insync_replicas == 2
    blue = region.stacks["blue"]
    assert isinstance(blue, CassandraStack)
    assert isinstance(blue.login, AwsIdentity)
    assert region.files == {}
