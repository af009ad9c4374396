"""A mistake in a region file is refused when it is planned, with the name of the file and of the field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.infra.terraform import REPOSITORY, Project

FILES: Final = sorted((REPOSITORY / "regions/aws").glob("*.yaml"))
Regions = dict[str, dict[str, Any]]


def _plan(project: Project, regions: Regions, region: str = "eu-central-1") -> str:
    """What the plan of the part that reads region files says; it needs no provider."""
    project.ready("modules/topology")
    values = project.folder("modules/topology") / "test.tfvars.json"
    values.write_text(json.dumps({"files": regions, "regions": regions, "region": region}))
    done = project.attempt("modules/topology", "plan", "-input=false", f"-var-file={values.name}")
    assert (done.returncode != 0) == ("Error:" in done.stderr)
    # Terraform breaks lines, and begins each with a bar.
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.fixture
def regions() -> Regions:
    """The examples, as they are in the repository."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in FILES}


def test_the_examples_fit(project: Project, regions: Regions) -> None:
    assert _plan(project, regions) == ""


def _set(*path: str | int, to: Any) -> Callable[[Regions], None]:
    def change(regions: Regions) -> None:
        place: Any = regions
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = to

    return change


def _drop(*path: str) -> Callable[[Regions], None]:
    def change(regions: Regions) -> None:
        place: Any = regions
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]

    return change


A: Final = "eu-central-1"
B: Final = "eu-west-1"
STACK: Final = (A, "stacks", "blue")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set(A, "peers", to=["eu-wst-1"]), "eu-central-1.yaml: peers: no region eu-wst-1"),
        (_set(A, "peers", to=[A, B]), "eu-central-1.yaml: peers: lists the region itself"),
        (_set(A, "peers", to=[]), "eu-central-1.yaml: peers: lacks eu-west-1, whose file lists eu-central-1"),
        (
            _set(B, "aws", "cidr", to="10.10.128.0/17"),
            "eu-central-1.yaml: aws.cidr: 10.10.0.0/16 overlaps 10.10.128.0/17",
        ),
        (_set(A, "aws", "cidr", to="10.10.0.0"), "eu-central-1.yaml: aws.cidr: 10.10.0.0 is no block of addresses"),
        (_set(A, "aws", "cidr", to="10.10.0.0/24"), "eu-central-1.yaml: aws.cidr: 10.10.0.0/24 has more than 20 bits"),
        (_set(B, "partitions", to=16), "eu-west-1.yaml: partitions: is 16, but 32 in eu-central-1.yaml"),
        (_drop(*STACK, "nodes"), "eu-central-1.yaml: stacks.blue: has no store"),
        (_set(*STACK, "contact_points", to=["c:9042"]), "eu-central-1.yaml: stacks.blue: has two stores"),
        (
            _set(*STACK, "engine", to="keyspaces"),
            "eu-central-1.yaml: stacks.blue.engine: keyspaces: Amazon Keyspaces takes",
        ),
        (
            _set(*STACK, "engine", to="postgres"),
            "eu-central-1.yaml: stacks.blue.engine: postgres: comes with the stacks",
        ),
        (
            _set(*STACK, "replication_factor", to=5),
            "eu-central-1.yaml: stacks.blue.replication_factor: is 5, with 3 nodes",
        ),
        (
            _set(A, "serving_stack", to="green"),
            "eu-central-1.yaml: serving_stack: is green, which stacks does not list",
        ),
        (_set(A, "log", "replication_factor", to=5), "eu-central-1.yaml: log.replication_factor: is 5, with 3 brokers"),
        (_set(A, "log", "min_insync_replicas", to=4), "eu-central-1.yaml: log.min_insync_replicas: is 4, above"),
        (
            _set(A, "roles", "creator", "count_max", to=33),
            "eu-central-1.yaml: roles.creator.count_max: is 33, above partitions",
        ),
        (_set(A, "roles", "intake", "count", to=0), "eu-central-1.yaml: roles.intake.count: is 0, and should be 1 to"),
        (_set(A, "aws", "image", to="tocsin:latest"), "eu-central-1.yaml: aws.image: must end in @sha256:"),
        (
            _set(A, "aws", "collector_image", to="adot:1"),
            "eu-central-1.yaml: aws.collector_image: must end in @sha256:",
        ),
        (_set(A, "aws", "zones", to=["eu-central-1a"]), "eu-central-1.yaml: aws.zones: names 1"),
        (_set(A, "name", to="frankfurt"), "eu-central-1.yaml: name: is frankfurt, and should be that of the file"),
        (_set(A, "aws", "cidrs", to="10.0.0.0/8"), "eu-central-1.yaml: aws.cidrs: no such field"),
        (_set(*STACK, "nodes", "amy", to="ami-1"), "eu-central-1.yaml: stacks.blue.nodes.amy: no such field"),
        (_set(A, "peer", to=[]), "eu-central-1.yaml: peer: no such field"),
        (_set(A, "delivery", to={"smpt": {}}), "eu-central-1.yaml: delivery.smpt: no such field"),
        (_drop(A, "partitions"), 'element "eu-central-1": attribute "partitions" is required'),
    ],
    ids=lambda value: value.split(": ")[1].replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_mistake_is_refused_with_its_field(
    project: Project, regions: Regions, change: Callable[[Regions], None], told: str
) -> None:
    change(regions)
    assert told in _plan(project, regions)


def test_all_mistakes_are_told_at_once(project: Project, regions: Regions) -> None:
    regions[A]["peers"] = []
    regions[B]["aws"]["image"] = "tocsin:latest"
    said = _plan(project, regions)
    assert "eu-central-1.yaml: peers" in said
    assert "eu-west-1.yaml: aws.image" in said


def test_a_region_without_a_file_is_refused(project: Project, regions: Regions) -> None:
    assert "no file us-east-1.yaml; there are eu-central-1, eu-west-1" in _plan(project, regions, "us-east-1")


def test_a_third_region_is_one_file_and_a_name_in_each_other(project: Project) -> None:
    folder = REPOSITORY / "terraform/region/tests/fixtures/three"
    three = {path.stem: yaml.safe_load(path.read_text()) for path in Path(folder).glob("*.yaml")}
    assert len(three) == 3
    assert _plan(project, three, "us-east-1") == ""
