"""What runs Terraform is collected by `make test-infra` alone: it takes minutes, and Terraform is not everybody's."""

import os
import shutil
from pathlib import Path

import pytest

from tests.infra.terraform import PLUGINS, REPOSITORY, Project, Run, lacking

collect_ignore_glob = [] if os.environ.get("INFRA") else ["test_*.py"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of what is deployed from, so that a run leaves nothing behind and may spoil what it likes."""
    if lacks := lacking():
        if os.environ.get("CI"):
            pytest.fail(lacks)
        pytest.skip(lacks)
    root = tmp_path_factory.mktemp("project")
    for folder in ("terraform", "regions", "deploy/alerts", "runbooks"):
        shutil.copytree(REPOSITORY / folder, root / folder, symlinks=True, ignore=shutil.ignore_patterns(".terraform*"))
    return Project(root, PLUGINS)


@pytest.fixture(scope="session")
def pair(project: Project) -> dict[str, Run]:
    """Two regions, each as it plans."""
    return project.tested("region", "-verbose", "-filter=tests/pair.tftest.hcl")


@pytest.fixture(scope="session")
def three(project: Project) -> Run:
    """The third of three regions."""
    return project.tested("region", "-verbose", "-filter=tests/three.tftest.hcl")["third_region_reads_both"]


@pytest.fixture
def spoiled(project: Project, tmp_path: Path) -> Project:
    """A copy of its own, to be changed at will."""
    shutil.copytree(project.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", project.plugins)
