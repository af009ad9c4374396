"""The script by which a node of the store starts: it never ran on a node, so what it says is read here."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.infra.terraform import Run

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def run(pair: dict[str, Run]) -> Run:
    """A region with nodes of its own."""
    return pair["eu_central_1_reads_eu_west_1"]


@pytest.fixture(scope="module")
def scripts(run: Run) -> dict[str, str]:
    """Node to its script."""
    return {address: values["user_data"] for address, values in run.resources("aws_instance").items()}


@pytest.fixture(scope="module")
def configurations(scripts: dict[str, str]) -> list[dict[str, Any]]:
    """What each node's Cassandra is told."""
    found = [re.search(r"<<'CONFIG'\n(.*?)^CONFIG$", text, re.MULTILINE | re.DOTALL) for text in scripts.values()]
    return [yaml.safe_load(match[1]) for match in found if match]


def test_bash_takes_it(scripts: dict[str, str]) -> None:
    assert len(scripts) == 3
    for text in scripts.values():
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        assert text.startswith("#!/bin/bash\n")
        assert "set -euo pipefail" in text


def test_nodes_differ_in_address_and_rack_alone(scripts: dict[str, str]) -> None:
    same = {re.sub(r"10\.10\.\d+\.10|eu-central-1[abc]|Store_\w+", "_", text) for text in scripts.values()}
    assert len(same) == 1


def test_clients_and_nodes_speak_tls_alone_and_log_in(configurations: list[dict[str, Any]]) -> None:
    for told in configurations:
        assert (told["client_encryption_options"]["enabled"], told["client_encryption_options"]["optional"]) == (
            True,
            False,
        )
        assert told["server_encryption_options"]["internode_encryption"] == "all"
        assert told["server_encryption_options"]["require_client_auth"] is True
        assert told["authenticator"] == "PasswordAuthenticator"
        assert told["authorizer"] == "CassandraAuthorizer"


def test_the_service_is_told_of_the_nodes_as_they_listen(run: Run, configurations: list[dict[str, Any]]) -> None:
    (stack,) = run.outputs["deployed"]["region_file"]["stacks"].values()
    listening = {f"{told['rpc_address']}:{told['native_transport_port']}" for told in configurations}
    assert set(stack["contact_points"]) == listening
    assert {told["listen_address"] for told in configurations} == {told["rpc_address"] for told in configurations}


def test_every_directory_is_on_the_disk_that_outlives_the_machine(configurations: list[dict[str, Any]]) -> None:
    for told in configurations:
        kept = [told["commitlog_directory"], told["hints_directory"], *told["data_file_directories"]]
        assert all(folder.startswith("/var/lib/cassandra/") for folder in kept)


def test_it_fetches_secrets_that_are_made(run: Run, scripts: dict[str, str]) -> None:
    made = {values["name"] for values in run.resources("aws_secretsmanager_secret").values()}
    for text in scripts.values():
        fetched = set(re.findall(r"^secret '([^']+)'", text, re.MULTILINE))
        assert len(fetched) == 2
        assert fetched <= made
