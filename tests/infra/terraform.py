"""Running Terraform on a copy of the project, with the provider from a folder or from the registry.

Roots are initialised as people do it, which finds the provider that all their modules agree on. A module needs none of
its own: its commands attach to the one that runs (`tests/infra/provider.py`).

`TOCSIN_TF_PLUGINS` names a folder that holds providers as Terraform lays them out, by registry. Without it, Terraform
gets the provider from the registry, as it does for people.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).parents[2]
# Read here: tests have an environment without TOCSIN_* variables.
PLUGINS: Final = os.environ.get("TOCSIN_TF_PLUGINS")
MODULES: Final = tuple(sorted(f"modules/{path.name}" for path in (REPOSITORY / "terraform/modules").iterdir()))
ROOTS: Final = ("region", "global")
RUN_S_MAX: Final = 600
DETACHED: Final = "TF_REATTACH_PROVIDERS"
LOCAL_STATE: Final = 'terraform {\n  backend "local" {}\n}\n'


class TerraformFailed(AssertionError):
    """A command of Terraform's failed; the text is all that it said."""


@dataclass(frozen=True)
class Project:
    """A copy of what is deployed from: `terraform/`, `regions/`, and the alerts with their runbooks."""

    root: Path
    plugins: str | None
    attach: Mapping[str, str] = field(default_factory=dict)
    """What commands have in their environment to attach to a provider that runs."""
    _ready: set[str] = field(default_factory=set, compare=False)

    def folder(self, name: str) -> Path:
        """The folder of a module (`modules/log`) or a root (`region`)."""
        return self.root / "terraform" / name

    def ready(self, name: str) -> Path:
        """The folder of a module or a root, once Terraform has what it needs there."""
        folder = self.folder(name)
        if name not in self._ready and not (folder / ".terraform").is_dir():
            options = ["-input=false"]
            if name in ROOTS:
                (folder / "backend_override.tf").write_text(LOCAL_STATE)
                options += [f"-plugin-dir={self.plugins}"] if self.plugins else []
            self.run(name, "init", *options, env={DETACHED: ""} if name in ROOTS else None)
        self._ready.add(name)
        return folder

    def run(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """What a command says on stdout; raises `TerraformFailed` when its status is not 0."""
        done = self.attempt(name, *arguments, env=env)
        if done.returncode:
            raise TerraformFailed(f"terraform {' '.join(arguments)} in {name}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def attempt(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "AWS_"))}
        own = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": os.devnull}
        colour = [] if arguments[0] in {"fmt", "state"} else ["-no-color"]
        return subprocess.run(
            [_terraform(), arguments[0], *colour, *arguments[1:]],
            cwd=self.folder(name),
            env=clean | own | dict(self.attach) | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=RUN_S_MAX,
            check=False,
        )

    def tested(self, name: str, *options: str) -> dict[str, "Run"]:
        """The runs of a folder's tests, by name, whatever came of them."""
        self.ready(name)
        done = self.attempt(name, "test", "-json", *options)
        runs: dict[str, Run] = {}
        for message in _messages(done.stdout):
            run = message.get("@testrun")
            if run is None:
                continue
            found = runs.setdefault(run, Run())
            match message["type"]:
                case "test_run" if message["test_run"].get("status"):
                    found.status = message["test_run"]["status"]
                case "test_plan":
                    found.plan = message["test_plan"]
                case "diagnostic":
                    fault = message["diagnostic"]
                    found.faults.append(f"{fault['summary']}: {fault.get('detail', '')}")
        if not runs:
            raise TerraformFailed(f"terraform test in {name} ran nothing:\n{done.stdout}\n{done.stderr}")
        return runs


@dataclass
class Run:
    """One run of a test file."""

    status: str = "none"
    plan: dict[str, Any] = field(default_factory=dict)
    """As `terraform show -json` has it; with -verbose alone."""
    faults: list[str] = field(default_factory=list)

    @property
    def outputs(self) -> dict[str, Any]:
        """The planned outputs of the root."""
        return {name: change["after"] for name, change in self.plan["output_changes"].items()}

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Address to planned values, of all resources of a kind."""
        return {one["address"]: one["change"]["after"] for one in self.plan["resource_changes"] if one["type"] == kind}


def lacking() -> str | None:
    """What is missing to run Terraform here; None when nothing is."""
    return None if shutil.which("terraform") else "terraform is not on the PATH: the tests of deployment cannot run"


def _terraform() -> str:
    found = shutil.which("terraform")
    assert found, "terraform is not on the PATH"
    return found


def _messages(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
