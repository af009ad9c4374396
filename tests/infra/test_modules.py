"""Every module and root: formatted, valid, of one interface style, and its own tests pass."""

import re
from typing import Final

import pytest

from tests.infra.readmes import blocks, readme
from tests.infra.terraform import MODULES, REPOSITORY, ROOTS, Project, Run

TERRAFORM: Final = REPOSITORY / "terraform"
ALL: Final = (*MODULES, *ROOTS)
pytestmark = pytest.mark.timeout(600)  # each starts the provider, which takes seconds on an idle machine


def test_all_is_formatted(project: Project) -> None:
    assert project.run(".", "fmt", "-check", "-recursive", ".") == ""


@pytest.mark.parametrize("name", ALL)
def test_is_valid(project: Project, name: str) -> None:
    project.ready(name)
    project.run(name, "validate")


@pytest.mark.parametrize("name", [name for name in ALL if name != "region"])
def test_own_tests_pass(project: Project, name: str) -> None:
    assert _failed(project.tested(name)) == {}


def test_own_tests_of_a_region_pass(region_runs: dict[str, Run]) -> None:
    assert _failed(region_runs) == {}


def _failed(runs: dict[str, Run]) -> dict[str, list[str]]:
    return {run: found.faults for run, found in runs.items() if found.status != "pass"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("file", "kind"), [("variables.tf", "variable"), ("outputs.tf", "output")])
def test_interface_is_in_order_and_described(name: str, file: str, kind: str) -> None:
    found = blocks(TERRAFORM / name / file, kind)
    assert list(found) == sorted(found)
    for block, body in found.items():
        assert re.search(r'^  description = "[A-Z].*\."$', body, re.MULTILINE), (
            f"{block} is not described in a sentence"
        )
        assert kind == "output" or re.search(r"^  type +=", body, re.MULTILINE), f"{block} has no type"


@pytest.mark.parametrize("name", ALL)
def test_every_variable_is_used(name: str) -> None:
    text = "".join(path.read_text() for path in sorted((TERRAFORM / name).glob("*.tf")))
    unused = [one for one in blocks(TERRAFORM / name / "variables.tf", "variable") if f"var.{one}" not in text]
    assert unused == []


@pytest.mark.parametrize("name", ALL)
def test_versions_are_bounded(name: str) -> None:
    text = (TERRAFORM / name / "versions.tf").read_text()
    assert 'required_version = ">= 1.11.0, < 2.0.0"' in text
    if "aws" in text:
        assert re.search(r'version = "(5\.100\.0|>= 5\.100\.0, < 6\.0\.0)"', text)


@pytest.mark.parametrize("name", MODULES)
def test_the_readme_is_of_this_module(name: str) -> None:
    folder = TERRAFORM / name
    assert (folder / "README.md").read_text() == readme(folder), "run python -m tests.infra.readmes"
