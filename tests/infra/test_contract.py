"""The contract with the service: what a task is told, by variables and by files, is what its own code accepts.

The plan is Terraform's, of two and of three regions that know each other; the judge is the service: `Settings.load`,
`load_topology`, and the script of the image that places files, run as the container runs it.
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.terraform import REPOSITORY, Run
from tocsin.config import ConfigError
from tocsin.settings import Settings, variables
from tocsin.topology import KafkaLog, load_topology

PLACE_FILES: Final = REPOSITORY / "deploy/container/place_files.py"
CONFIG_DIR: Final = "/etc/tocsin"
pytestmark = pytest.mark.timeout(600)


def _containers(run: Run) -> dict[str, dict[str, dict[str, Any]]]:
    """Task to its containers, by name."""
    return {
        values["family"]: {one["name"]: one for one in json.loads(values["container_definitions"])}
        for values in run.resources("aws_ecs_task_definition").values()
    }


def _role(containers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (role,) = (container for name, container in containers.items() if name not in {"files", "collector"})
    return role


def _environment(container: dict[str, Any]) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in container["environment"]}


def _placed(containers: dict[str, dict[str, Any]], root: Path) -> None:
    """Runs the container that places files, with `root` in the place of the volume."""
    container = containers["files"]
    environment = _environment(container)
    environment["FILES"] = environment["FILES"].replace(CONFIG_DIR, str(root))
    secrets = {secret["name"]: f"the value of {secret['name']}\n" for secret in container["secrets"]}
    subprocess.run(
        [sys.executable, str(PLACE_FILES)], env={"PATH": os.environ["PATH"]} | environment | secrets, check=True
    )


def test_each_variable_of_a_task_is_one_that_settings_has(pair: dict[str, Run], three: Run) -> None:
    for run in [*pair.values(), three]:
        for containers in _containers(run).values():
            assert set(_environment(_role(containers))) <= set(variables())


def test_settings_take_the_environment_of_every_task(
    pair: dict[str, Run], three: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, run in enumerate([*pair.values(), three]):
        for family, containers in _containers(run).items():
            root = tmp_path / f"{number}-{family}"
            _placed(containers, root)
            for name, value in _environment(_role(containers)).items():
                monkeypatch.setenv(name, value.replace(CONFIG_DIR, str(root)))
            settings = Settings.load()
            topology = settings.topology()
            region = settings.own_region(topology)
            stack, _ = settings.own_stack(region)
            role = _role(containers)["name"]
            listening = settings.listening(region.processes[role])
            ports = {mapping["containerPort"] for mapping in _role(containers)["portMappings"]}
            assert (stack, ports) == ("blue", set(listening.ports.values()))
            for name in _environment(_role(containers)):
                monkeypatch.delenv(name)


def test_service_reads_every_region_and_each_by_its_prefix(three: Run, tmp_path: Path) -> None:
    for containers in _containers(three).values():
        _placed(containers, tmp_path)
    region = load_topology(tmp_path / "regions").region("us-east-1")
    assert region.requests_topics == {
        "us-east-1": "requests",
        "eu-central-1": "eu-central-1-alias.requests",
        "eu-west-1": "eu-west-1-alias.requests",
    }
    assert isinstance(region.log, KafkaLog)
    assert (region.founding, region.log.login is not None, region.log.tls is not None) == (False, True, True)


def test_a_region_alone_is_told_of_itself_alone(region_runs: dict[str, Run], tmp_path: Path) -> None:
    run = region_runs["planned_while_the_peer_is_absent"]
    for name, text in run.outputs["region_files"].items():
        (tmp_path / f"{name}.yaml").write_text(text)
    topology = load_topology(tmp_path)
    assert [(region.name, region.peers) for region in topology.regions] == [("eu-central-1", ())]


def test_a_role_gets_the_secrets_that_it_reads_and_no_other(pair: dict[str, Run]) -> None:
    read = {
        family.removeprefix("eu-central-1-"): {secret["name"] for secret in containers["files"]["secrets"]}
        for family, containers in _containers(pair["eu_central_1_reads_eu_west_1"]).items()
    }
    assert read == {
        "intake": {"DIRECTORY"},
        "creator-blue": {"STORE_CA", "STORE_PASSWORD"},
        "querier-blue": {"DIRECTORY", "TOKENS", "STORE_CA", "STORE_PASSWORD"},
        "notifier": {"DIRECTORY", "PAGING_KEY", "STORE_CA", "STORE_PASSWORD"},
    }


def test_placed_files_are_for_their_owner_alone(pair: dict[str, Run], tmp_path: Path) -> None:
    for containers in _containers(pair["eu_central_1_reads_eu_west_1"]).values():
        _placed(containers, tmp_path)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o400}


def test_a_variable_that_settings_does_not_have_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_STAGE", "production")
    with pytest.raises(ConfigError, match="TOCSIN_STAGE"):
        Settings.load()


def test_the_commands_are_roles_that_there_are(pair: dict[str, Run]) -> None:
    commands = {
        _role(containers)["command"][1] for containers in _containers(pair["eu_central_1_reads_eu_west_1"]).values()
    }
    assert commands == {"intake", "creator", "querier", "notifier"}
    assert all(
        _role(containers)["command"][0] == "run"
        for containers in _containers(pair["eu_central_1_reads_eu_west_1"]).values()
    )
