"""A cloud on this machine: moto's server, and what of the project it cannot hold.

moto keeps what it is told and answers as AWS would, mostly. What it does not hold is `UNHELD`, by type: the log module
is taken without those, with the outputs that they would have given, and nothing scales.
"""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.infra.terraform import REPOSITORY, Project

SERVER: Final = REPOSITORY / "build/moto-venv/bin/moto_server"
UNHELD: Final = (
    "aws_appautoscaling_policy",
    "aws_appautoscaling_target",
    "aws_msk_cluster",
    "aws_msk_cluster_policy",
    "aws_msk_configuration",
    "aws_msk_replicator",
)
"""Kinds of resource that moto does not know, or of which it does not answer all that the provider asks."""
HELD_IN_PART: Final = {
    "modules/backup": ("aws_s3_bucket_replication_configuration", "this", "rule"),
    "modules/network": ("aws_vpc_peering_connection_accepter", "from", "tags, tags_all"),
}
"""Resources of which moto gives back less than it was told (filters of a copy), or one for two (the tags that each side
of a connection has), with the fields in question: applied, and not compared.
"""
KEPT: Final = {"aws_network_interface", "aws_security_group", "aws_subnet", "aws_vpc"}
"""What is left by moto when all is destroyed: it takes no address from a machine that is gone, as AWS does, and so
keeps what the address rests on.
"""
ACCOUNT: Final = "111122223333"
START_S_MAX: Final = 120
OUTPUTS: Final = """
output "arn" {
  value = "arn:aws:kafka:${var.name}:${var.account_id}:cluster/${var.name}/1"
}
output "bootstrap" {
  value = ["b-1.${var.name}.example.com:9098"]
}
output "mirror_prefixes" {
  value = { for name, peer in var.peers : name => "${name}-alias." if peer.arn != null }
}
output "name" {
  value = var.name
}
output "replicators" {
  value = { for name, peer in var.peers : name => "${var.name}-from-${name}" if peer.arn != null }
}
output "security_group_id" {
  value = aws_security_group.replicators.id
}
"""
PROVIDER: Final = """
provider "aws" {
  access_key              = "made-up"
  secret_key              = "made-up"
  s3_use_path_style       = true
  skip_metadata_api_check = true
}
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The server of moto, by its address, while the body runs."""
    port_file = folder / "moto.log"
    env = os.environ | {"MOTO_ACCOUNT_ID": ACCOUNT, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    with (
        port_file.open("w") as log,
        subprocess.Popen([SERVER, "-H", "127.0.0.1", "-p", "0"], env=env, stdout=log, stderr=log) as server,
    ):
        try:
            yield _address(port_file, server)
        finally:
            server.terminate()


def _address(log: Path, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        assert server.poll() is None, f"moto ended: {log.read_text()}"
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.2)
    raise AssertionError(f"moto did not start within {START_S_MAX} s: {log.read_text()}")


def prepare(project: Project, cloud: str) -> None:
    """Makes a copy of the project one that moto can hold: without `UNHELD`, with a zone and images that are there."""
    log = project.folder("modules/log")
    for file in ("main.tf", "mirror.tf"):
        text = (log / file).read_text()
        for kind in (*UNHELD, "aws_iam_role_policy"):  # which is about the cluster
            text = re.sub(rf'^resource "{kind}" .*?^}}\n', "", text, flags=re.MULTILINE | re.DOTALL)
        if file == "mirror.tf":
            text = re.sub(r"^locals {.*?^}\n", "", text, flags=re.MULTILINE | re.DOTALL)
        (log / file).write_text(text)
    (log / "outputs.tf").write_text(OUTPUTS)
    (project.folder("modules/service") / "scaling.tf").unlink()
    (project.folder("region") / "provider_override.tf").write_text(PROVIDER)
    for module, (kind, name, fields) in HELD_IN_PART.items():
        body = f'resource "{kind}" "{name}" {{\n  lifecycle {{\n    ignore_changes = [{fields}]\n  }}\n}}\n'
        (project.folder(module) / "moto_override.tf").write_text(body)
    zone = _zone(cloud)
    for region in (project.root / "regions/aws").glob("*.yaml"):
        text = re.sub("zone_id: .*", f"zone_id: {zone}", region.read_text())
        region.write_text(re.sub("ami: .*", f"ami: {_image(cloud, region.stem)}", text))


def _zone(cloud: str) -> str:
    body = (
        '<CreateHostedZoneRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">'
        "<Name>tocsin.example.com</Name><CallerReference>1</CallerReference></CreateHostedZoneRequest>"
    )
    return _found(r"<Id>/hostedzone/(\w+)</Id>", _said(f"{cloud}/2013-04-01/hostedzone", body, "us-east-1", "route53"))


def _image(cloud: str, region: str) -> str:
    body = "Action=DescribeImages&Version=2016-11-15&Owner.1=amazon"
    return _found(r"<imageId>(ami-\w+)</imageId>", _said(cloud, body, region, "ec2"))


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text[:500]
    return found[1]


def _said(url: str, body: str, region: str, service: str) -> str:
    credential = f"made-up/20260101/{region}/{service}/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
        "Content-Type": "application/x-www-form-urlencoded" if service == "ec2" else "text/xml",
    }
    request = urllib.request.Request(url, data=body.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error


class Region:
    """A region in the cloud, with a state and a copy of the project of its own, to change beside others."""

    def __init__(self, project: Project, name: str) -> None:
        self._project = project
        self._options = ("-input=false", f"-var=region={name}")
        self.name = name

    def apply(self) -> None:
        """Makes the cloud as the files say."""
        self._project.run("region", "apply", "-auto-approve", "-parallelism=20", *self._options)

    def said(self) -> str:
        """What others know of the region, to be written down as its guide says."""
        return self._project.run("region", "output", "-json", "deployed")

    def learn(self, name: str, said: str) -> None:
        """Writes down what another region, or this one, has said."""
        folder = self._project.root / "regions/aws/deployed"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(said)

    @property
    def deployed(self) -> dict[str, Any]:
        """What was written down of this region."""
        found: dict[str, Any] = json.loads((self._project.root / f"regions/aws/deployed/{self.name}.json").read_text())
        return found

    def keep_two_weeks(self) -> None:
        """Changes the region's file: for how long the log keeps its entries."""
        file = self._project.root / f"regions/aws/{self.name}.yaml"
        was, becomes = "retention_s: 604800", "retention_s: 1209600"
        text = file.read_text()
        assert text.count(was) == 1
        file.write_text(text.replace(was, becomes))

    def changes(self) -> list[str]:
        """Addresses that a plan would change: empty when the cloud is as the files say."""
        self._project.run("region", "plan", "-out=plan", *self._options)
        plan = json.loads(self._project.run("region", "show", "-json", "plan"))
        return [one["address"] for one in plan.get("resource_changes", ()) if one["change"]["actions"] != ["no-op"]]

    def destroy(self) -> None:
        """Destroys all but what `KEPT` says; raises `AssertionError` for any other fault."""
        done = self._project.attempt("region", "destroy", "-auto-approve", "-parallelism=20", *self._options)
        other = [line for line in re.findall("Error: .*", done.stderr) if "cannot be detached" not in line]
        assert other == []

    def held(self) -> list[str]:
        """Addresses in the region's state."""
        return self._project.run("region", "state", "list").split()
