"""Two regions really applied, to a cloud on this machine: what a plan says is not yet what a provider does."""

import os
import re
from pathlib import Path

import pytest

from tests.infra.cloud import KEPT, SERVER, UNHELD, Region, prepare, served
from tests.infra.terraform import Project


@pytest.mark.timeout(3600)  # load balancers, buckets and gateways are waited for, as the provider waits for AWS's
def test_two_regions_are_applied_changed_apart_and_destroyed(spoiled: Project, tmp_path: Path) -> None:
    if not SERVER.exists():
        lacks = f"{SERVER} is not there: make test-infra builds it"
        if os.environ.get("CI"):
            pytest.fail(lacks)
        pytest.skip(lacks)
    with served(tmp_path) as cloud:
        prepare(spoiled, cloud)
        first, second = Region(spoiled, cloud, "eu-central-1"), Region(spoiled, cloud, "eu-west-1")
        first.apply()
        second.apply()
        first.apply()  # knows the second now: requests the connection
        second.apply()  # accepts it
        assert list(first.deployed["peerings"]) == ["eu-west-1"]
        assert second.deployed["region_file"]["peers"] == [
            {"name": "eu-central-1", "mirror_prefix": "eu-central-1-alias."}
        ]
        first.apply()  # tells its service of the second, whose prefix it knows now
        assert (first.changes(), second.changes()) == ([], [])

        file = spoiled.root / "regions/aws/eu-central-1.yaml"
        file.write_text(file.read_text().replace("retention_s: 604800", "retention_s: 1209600"))
        changed = first.changes()
        assert changed
        assert all("aws_ecs" in address for address in changed)
        assert second.changes() == []

        assert not any(f".{kind}." in address for address in first.held() for kind in UNHELD)
        second.destroy()
        first.destroy()
        assert {_kind(address) for region in (first, second) for address in region.held()} <= KEPT


def _kind(address: str) -> str:
    """The kind of a resource, by its address in a state."""
    (kind,) = re.findall(r"(?:^|\.)(aws_\w+)\.", address)
    return str(kind)
