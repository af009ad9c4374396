"""What runs Terraform is collected by `make test-infra` alone: it takes minutes, and Terraform is not everybody's."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.provider import attached
from tests.infra.terraform import PLUGINS, REPOSITORY, Project, Run, lacking

collect_ignore_glob = [] if os.environ.get("INFRA") else ["test_*.py"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of what is deployed from, so that a run leaves nothing behind and may spoil what it likes."""
    if lacks := lacking():
        if os.environ.get("CI"):
            pytest.fail(lacks)
        pytest.skip(lacks)
    root = tmp_path_factory.mktemp("project")
    for folder in ("terraform", "regions", "deploy/alerts", "runbooks"):
        shutil.copytree(REPOSITORY / folder, root / folder, symlinks=True, ignore=shutil.ignore_patterns(".terraform*"))
    region = Project(root, PLUGINS).ready("region")
    with attached(region, root / "provider.log") as attach:
        yield Project(root, PLUGINS, attach)


@pytest.fixture(scope="session")
def region_runs(project: Project) -> dict[str, Run]:
    """All tests of a region's root: alone, one of two, and the third."""
    return project.tested("region", "-verbose")


@pytest.fixture(scope="session")
def pair(region_runs: dict[str, Run]) -> dict[str, Run]:
    """Two regions, each as it plans."""
    return {name: region_runs[name] for name in ("eu_central_1_reads_eu_west_1", "eu_west_1_reads_eu_central_1")}


@pytest.fixture(scope="session")
def three(region_runs: dict[str, Run]) -> Run:
    """The third of three regions."""
    return region_runs["third_region_reads_both"]


@pytest.fixture
def spoiled(project: Project, tmp_path: Path) -> Project:
    """A copy of its own, to be changed at will."""
    shutil.copytree(project.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", project.plugins)  # attached to nothing
