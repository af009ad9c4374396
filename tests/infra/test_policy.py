"""What holds for everything that is planned, whichever module it is from: encryption, ways in, rights, and symmetry."""

import json
from typing import Any, Final

import pytest

from tests.infra.terraform import Run

ANYWHERE: Final = "0.0.0.0/0"
KEYS: Final = {
    "aws_cloudwatch_log_group": "kms_key_id",
    "aws_ebs_volume": "kms_key_id",
    "aws_secretsmanager_secret": "kms_key_id",
    "aws_sns_topic": "kms_master_key_id",
}
"""Kind of resource to the field that names the key under which it keeps data."""
WHOLE: Final = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
"""Actions of a service that has no resources to name: AWS gives them for everything or not at all."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["eu_central_1_reads_eu_west_1", "eu_west_1_reads_eu_central_1"])
def run(request: pytest.FixtureRequest, pair: dict[str, Run]) -> Run:
    """Each of two regions that know each other."""
    return pair[request.param]


def test_everything_that_keeps_data_has_our_key(run: Run) -> None:
    for kind, field in KEYS.items():
        resources = run.resources(kind)
        assert resources, kind
        assert {address: values[field] for address, values in resources.items() if not values.get(field)} == {}


def test_every_bucket_is_encrypted_and_private(run: Run) -> None:
    buckets = len(run.resources("aws_s3_bucket"))
    assert buckets == 2
    assert len(run.resources("aws_s3_bucket_server_side_encryption_configuration")) == buckets
    blocks = run.resources("aws_s3_bucket_public_access_block").values()
    flags = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert [all(block[flag] for flag in flags) for block in blocks] == [True] * buckets


def test_the_doors_are_the_only_way_in_from_outside(run: Run) -> None:
    open_to_all = {
        address.partition(".aws_")[0]: (rule["from_port"], rule["to_port"])
        for address, rule in run.resources("aws_vpc_security_group_ingress_rule").items()
        if rule["cidr_ipv4"] == ANYWHERE
    }
    assert open_to_all == {'module.edge["intake"]': (443, 443), 'module.edge["querier"]': (443, 443)}
    assert {listener["protocol"] for listener in run.resources("aws_lb_listener").values()} == {"HTTPS"}
    assert run.resources("aws_security_group_rule") == {}, "rules of an older kind would not be looked at here"


def test_no_role_may_do_everything(run: Run) -> None:
    policies = {
        f"{address} {statement['Action']}": statement
        for kind in ("aws_iam_role_policy", "aws_msk_cluster_policy")
        for address, values in run.resources(kind).items()
        for statement in json.loads(values["policy"])["Statement"]
        if statement["Effect"] == "Allow"
    }
    assert len(policies) > 10
    for name, statement in policies.items():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert not any(action.endswith("*") for action in actions), name
        assert "*" not in resources or set(actions) <= WHOLE, name


def test_no_secret_has_a_value_in_the_plan(run: Run) -> None:
    assert run.resources("aws_secretsmanager_secret_version") == {}
    outputs = json.dumps(run.outputs)
    assert "password" in outputs  # the names and places of secrets are there
    assert run.resources("random_password") == {}


def test_both_directions_are_mirrored_by_the_region_that_reads(pair: dict[str, Run]) -> None:
    ways = set()
    for run in pair.values():
        for replicator in run.resources("aws_msk_replicator").values():
            (way,) = replicator["replication_info_list"]
            (topics,) = way["topic_replication"]
            assert topics["starting_position"] == [{"type": "EARLIEST"}]
            assert topics["topic_name_configuration"] == [{"type": "PREFIXED_WITH_SOURCE_CLUSTER_ALIAS"}]
            ways.add(replicator["replicator_name"])
    assert ways == {"eu-central-1-from-eu-west-1", "eu-west-1-from-eu-central-1"}


def test_each_region_lets_the_other_in_as_the_other_goes_out(pair: dict[str, Run]) -> None:
    first, second = pair["eu_central_1_reads_eu_west_1"], pair["eu_west_1_reads_eu_central_1"]
    assert _ports(first, "ingress", "10.20.0.0/16") == _ports(second, "egress", "10.10.0.0/16") == {(9098, 9098)}
    assert _ports(second, "ingress", "10.10.0.0/16") == _ports(first, "egress", "10.20.0.0/16") == {(9098, 9098)}
    assert len(_routes(first, "10.20.0.0/16")) == len(_routes(second, "10.10.0.0/16")) == 3


def _ports(run: Run, direction: str, cidr: str) -> set[tuple[int, int]]:
    rules = run.resources(f"aws_vpc_security_group_{direction}_rule").values()
    return {(rule["from_port"], rule["to_port"]) for rule in rules if rule["cidr_ipv4"] == cidr}


def _routes(run: Run, cidr: str) -> list[Any]:
    return [route for route in run.resources("aws_route").values() if route["destination_cidr_block"] == cidr]
