"""Two regions really applied, to a cloud on this machine: what a plan says is not yet what a provider does."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from tests.infra.cloud import KEPT, SERVER, UNHELD, Region, prepare, served
from tests.infra.provider import attached
from tests.infra.terraform import Project

Pair = tuple[Region, Region]
T = TypeVar("T")


@pytest.fixture
def regions(spoiled: Project, tmp_path: Path) -> Iterator[Pair]:
    """Two regions of one cloud, each with a provider and a copy of the project of its own, as two people have them."""
    if not SERVER.exists():
        lacks = f"{SERVER} is not there: make test-infra builds it"
        if os.environ.get("CI"):
            pytest.fail(lacks)
        pytest.skip(lacks)
    with ExitStack() as running:
        cloud = running.enter_context(served(tmp_path))
        prepare(spoiled, cloud)

        def region(name: str) -> Region:
            root = tmp_path / name
            shutil.copytree(spoiled.root, root, symlinks=True)
            env = {"AWS_ENDPOINT_URL": cloud}
            attach = running.enter_context(attached(spoiled.folder("region"), tmp_path / f"{name}.log", env))
            return Region(Project(root, spoiled.plugins, attach), name)

        yield region("eu-central-1"), region("eu-west-1")


@pytest.mark.timeout(3600)  # load balancers, buckets and gateways are waited for, as the provider waits for AWS's
def test_two_regions_are_applied_changed_apart_and_destroyed(regions: Pair) -> None:
    first, second = regions
    _applied(regions)  # each alone
    _applied(regions)  # they know each other: the first requests the connection
    _applied(regions)  # the second accepts it; both tell their services of the other, whose prefix they know now
    assert list(first.deployed["peerings"]) == ["eu-west-1"]
    assert second.deployed["region_file"]["peers"] == [{"name": "eu-central-1", "mirror_prefix": "eu-central-1-alias."}]
    assert _of_both(regions, Region.changes) == [[], []]

    first.keep_two_weeks()
    changed, unchanged = _of_both(regions, Region.changes)
    assert changed
    assert all("aws_ecs" in address for address in changed)
    assert unchanged == []

    assert not any(f".{kind}." in address for address in first.held() for kind in UNHELD)
    _of_both(regions, Region.destroy)
    assert {_kind(address) for region in regions for address in region.held()} <= KEPT


def _of_both(regions: Pair, act: Callable[[Region], T]) -> list[T]:
    """What comes of an act in each of two regions at the same time."""
    with ThreadPoolExecutor(len(regions)) as pool:
        return list(pool.map(act, regions))


def _applied(regions: Pair) -> None:
    """Applies both; what they say then is written down for all, before the next step."""
    _of_both(regions, Region.apply)
    for name, said in zip([region.name for region in regions], _of_both(regions, Region.said), strict=True):
        for region in regions:
            region.learn(name, said)


def _kind(address: str) -> str:
    """The kind of a resource, by its address in a state."""
    (kind,) = re.findall(r"(?:^|\.)(aws_\w+)\.", address)
    return str(kind)
