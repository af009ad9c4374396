"""Do the modules' tests notice? One thing is changed at a time, and the test that is named must fail."""

from typing import Final, NamedTuple

import pytest

from tests.infra.terraform import Project

pytestmark = pytest.mark.timeout(600)


class Mutation(NamedTuple):
    """A change of one file of a module, and the run of its tests that fails for it."""

    module: str
    file: str
    was: str
    becomes: str
    noticed_by: str


MUTATIONS: Final = (
    Mutation(
        "log",
        "main.tf",
        'client_broker = "TLS"',
        'client_broker = "TLS_PLAINTEXT"',
        "nobody_gets_in_without_an_identity_and_tls",
    ),
    Mutation(
        "log",
        "main.tf",
        "election.enable=false",
        "election.enable=true",
        "an_acknowledged_record_survives_a_broker",
    ),
    Mutation(
        "log",
        "mirror.tf",
        '"EARLIEST"',
        '"LATEST"',
        "mirror_brings_all_from_the_earliest_under_a_prefix",
    ),
    Mutation(
        "log",
        "mirror.tf",
        '"ledger", "directory", "feedback"',
        '"ledger", "feedback"',
        "mirror_brings_all_from_the_earliest_under_a_prefix",
    ),
    Mutation(
        "log",
        "mirror.tf",
        "each.value.mirror_prefix == null ||",
        "true ||",
        "another_prefix_than_was_written_back_is_refused",
    ),
    Mutation(
        "network",
        "peering.tf",
        "&& peer.vpc_id != null",
        "",
        "absent_peer_is_not_asked",
    ),
    Mutation(
        "network",
        "peering.tf",
        "auto_accept               = true",
        "auto_accept               = false",
        "second_by_name_accepts",
    ),
    Mutation(
        "network",
        "main.tf",
        "nat_gateway_id         = aws_nat_gateway.this[each.key].id",
        "gateway_id = aws_internet_gateway.this.id",
        "nothing_in_private_subnets_is_reached_from_outside",
    ),
    Mutation(
        "store",
        "main.tf",
        "ring_port   = 7001",
        "ring_port   = 7000",
        "roles_and_nodes_alone_reach_nodes",
    ),
    Mutation(
        "service",
        "identity.tf",
        'writes = ["requests"], peers = ["requests"], groups = [], makes = true',
        'writes = ["requests"], peers = [], groups = [], makes = true',
        "intake_may_append_to_its_peers_for_all_regions",
    ),
    Mutation(
        "service",
        "identity.tf",
        'writes = ["feedback", ',
        'writes = ["ledger", "feedback", ',
        "each_role_may_do_its_own_work_and_no_more",
    ),
    Mutation(
        "service",
        "main.tf",
        "&& service.stack == var.serving_stack",
        "",
        "each_stack_has_creators_and_queriers_and_one_serves",
    ),
    Mutation(
        "edge",
        "main.tf",
        'path                = "/health/ready"',
        'path                = "/health/live"',
        "ready_tasks_get_requests",
    ),
    Mutation(
        "backup",
        "main.tf",
        'delete_marker_replication {\n        status = "Disabled"',
        'delete_marker_replication {\n        status = "Enabled"',
        "copied_to_every_peer",
    ),
    Mutation(
        "observe",
        "drill.tf",
        'source = "aws:cloudwatch:alarm"',
        'source = "none"',
        "a_drill_stops_when_clients_are_hurt",
    ),
    Mutation(
        "observe",
        "catalogue.tf",
        '"breaching" : "notBreaching"',
        '"notBreaching" : "notBreaching"',
        "a_role_that_says_nothing_is_down",
    ),
    Mutation(
        "observe",
        "collector.tf",
        "sort(concat(condition.by, tolist(condition.others)))",
        "sort(condition.by)",
        "collectors_bring_what_alarms_look_at",
    ),
    Mutation(
        "service",
        "main.tf",
        "image                  = var.collector.image\n      essential              = false",
        "image                  = var.collector.image\n      essential              = true",
        "a_collector_stands_beside_each_role_and_takes_nothing_along",
    ),
    Mutation(
        "regionfile",
        "main.tf",
        "try(var.deployed[name].mirror_prefixes[other], ",
        "try(var.deployed[other].mirror_prefixes[name], ",
        "peers_that_are_mirrored_are_told_of_and_list_each_other",
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.module}-{one.noticed_by}")
def test_the_named_test_notices(project: Project, mutation: Mutation) -> None:
    name = f"modules/{mutation.module}"
    file = project.ready(name) / mutation.file
    text = file.read_text()
    assert text.count(mutation.was) == 1, "the mutation no longer fits the module: bring it up to date"
    try:
        file.write_text(text.replace(mutation.was, mutation.becomes))
        runs = project.tested(name)
    finally:
        file.write_text(text)
    noticed = {run for run, found in runs.items() if found.status in {"fail", "error"}}
    assert mutation.noticed_by in noticed
