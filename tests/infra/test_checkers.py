"""What two checkers know about Terraform that we may not: tflint of its language, checkov of AWS's habits."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.infra.terraform import REPOSITORY, Project

TFLINT: Final = REPOSITORY / "build/tflint"
CHECKOV: Final = REPOSITORY / "build/checkov-venv/bin/checkov"
RULES: Final = REPOSITORY / "tests/infra/tflint.hcl"
EXCEPTIONS: Final = REPOSITORY / "tests/infra/exceptions.yaml"
INSTANCE: Final = re.compile(r"\[.*?\]")
CHECK_S_MAX: Final = 300
pytestmark = pytest.mark.timeout(CHECK_S_MAX)


def _said(checker: Path, *arguments: str, folder: Path) -> str:
    """What a checker says of a folder; its status says nothing that the text does not."""
    if not checker.exists():
        lacks = f"{checker} is not there: make test-infra builds it (tflint with Go)"
        if os.environ.get("CI"):
            pytest.fail(lacks)
        pytest.skip(lacks)
    done = subprocess.run([checker, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout


@pytest.fixture
def terraform(project: Project) -> Path:
    """What is deployed from, all of it."""
    return project.folder(".")


def test_tflint_finds_nothing(terraform: Path) -> None:
    found = json.loads(_said(TFLINT, "--recursive", f"--config={RULES}", "--format=json", folder=terraform))
    assert found["errors"] == []
    assert [f"{one['range']['filename']}: {one['rule']['name']}: {one['message']}" for one in found["issues"]] == []


def test_checkov_finds_what_is_explained_and_nothing_else(terraform: Path) -> None:
    options = ("--framework=terraform", "--compact", "--skip-download", "--output=json")
    found = json.loads(_said(CHECKOV, "--directory=.", *options, folder=terraform))
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 100, "it read no Terraform"
    findings = {  # by resource: whether checkov tells its instances apart depends on what it can work out
        f"{one['check_id']} {INSTANCE.sub('', one['resource'])}": one["check_name"]
        for one in found["results"]["failed_checks"]
    }
    explained = {
        f"{check} {resource}"
        for check, exception in yaml.safe_load(EXCEPTIONS.read_text()).items()
        for resource in exception["resources"]
    }
    assert {finding: said for finding, said in findings.items() if finding not in explained} == {}
    assert explained - set(findings) == set(), "found no more: take it from the exceptions"


def test_every_exception_has_a_reason() -> None:
    exceptions = yaml.safe_load(EXCEPTIONS.read_text())
    assert [check for check, exception in exceptions.items() if not exception["reason"].endswith(".")] == []
