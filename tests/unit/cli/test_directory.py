"""`tocsin directory`: what a file would change, applying it, and looking at what there is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.unit.cli.premises import Premises
from tocsin.core.directory import Kind, Name, hash_key
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.topics import make_topics
from tocsin.topology import load_topology

Run = Callable[..., Result]
REGIONS = load_topology(Path(__file__).parents[3] / "regions" / "local")
KEY, NEW_KEY = "0" * 32, "1" * 32
HOOK = "https://hooks.example.org/T0KEN"
FILE = f"""
services:
  - {{id: demo, name: Demo, routing_keys: ["{KEY}"]}}
users:
  - {{id: old, name: Old, email: old@example.org}}
"""
APPLIED = f"""
services:
  - id: payments
    name: Payments
    routing_keys: ["{NEW_KEY}"]
    responders: [ann]
    urgency: high
users:
  - id: ann
    name: Ann
    email: ann@example.org
    methods:
      - {{id: mail, kind: email, address: ann@example.org}}
      - {{id: hook, kind: webhook, address: "{HOOK}"}}
    rules:
      - {{method: mail}}
      - {{method: hook, delay_s: 300}}
"""


@pytest.fixture(autouse=True)
def _regions_that_ran(premises: Premises) -> None:
    premises.data_dir.mkdir(parents=True)
    (premises.data_dir / "directory.yaml").write_text(FILE, encoding="utf-8")
    for region in REGIONS.regions:
        premises.in_log(region.name, lambda log, region=region: make_topics(log, region))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "applied.yaml"
    path.write_text(APPLIED, encoding="utf-8")
    return path


def directory(premises: Premises, region: str) -> LogDirectory:
    """The region's directory, as a role of it would read it."""

    async def read(log: EmbeddedLog) -> LogDirectory:
        read = LogDirectory(log, REGIONS.region(region), premises.data_dir / "directory.yaml")
        await read.look()
        return read

    found = premises.in_log(region, read)
    assert isinstance(found, LogDirectory)
    return found


# apply ---------------------------------------------------------------------------------------------------------------


def test_applying_shows_the_plan_and_how_to_undo_it_and_the_region_has_it(
    run: Run, premises: Premises, file: Path
) -> None:
    result = run("directory", "apply", str(file), "--yes")

    assert result.exit_code == 0
    assert "  + service payments: name Payments, keys +" in result.stderr
    assert "responders +ann, urgency by-severity -> high" in result.stderr
    assert "  + user ann: name Ann, email ann@example.org, methods +mail +hook" in result.stderr
    assert "to undo: apply the file as it was before" in result.stderr
    assert "2 added: said in region a and read back there" in result.stdout
    service = directory(premises, "a").service_of(NEW_KEY)
    assert service is not None
    assert service.responders == ("ann",)
    assert directory(premises, "a").service("demo") is not None


def test_no_secret_is_shown_or_written_down(run: Run, premises: Premises, file: Path) -> None:
    shown = [run("directory", "apply", str(file), "--yes"), run("directory", "ls", "--json")]
    shown += [run("directory", "show", "ann"), run("directory", "show", "payments", "--json")]
    trail = (premises.data_dir / "a" / "audit.log").read_text(encoding="utf-8")

    for text in [trail, *(result.stdout + result.stderr for result in shown)]:
        assert NEW_KEY not in text
        assert "T0KEN" not in text
    assert '"record":"user ann"' in trail


def test_nothing_is_done_unless_it_is_wanted(run: Run, premises: Premises, file: Path) -> None:
    result = run("directory", "apply", str(file))

    assert result.exit_code == 2
    assert "nothing was done" in result.stderr
    assert directory(premises, "a").service_of(NEW_KEY) is None


def test_a_file_that_was_applied_changes_nothing_again(run: Run, file: Path) -> None:
    run("directory", "apply", str(file), "--yes")

    result = run("directory", "apply", str(file), "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"region": "a", "changes": [], "faults": []}


def test_what_changes_is_told_field_by_field(run: Run, file: Path) -> None:
    run("directory", "apply", str(file), "--yes")
    changed = APPLIED.replace("urgency: high", "urgency: low").replace(HOOK, HOOK + "2").replace(NEW_KEY, "2" * 32)
    file.write_text(changed.replace("{method: mail}", "{method: mail, urgency: low}"), encoding="utf-8")

    result = run("directory", "apply", str(file), "--yes", "--json")

    gone, new = (hash_key(key).hex()[:12] for key in (NEW_KEY, "2" * 32))
    assert json.loads(result.stdout)["changes"] == [
        {
            "kind": "service",
            "id": "payments",
            "verb": "changed",
            "fields": [f"keys +{new} -{gone}", "urgency high -> low"],
        },
        {
            "kind": "user",
            "id": "ann",
            "verb": "changed",
            "fields": ["methods ~hook", "rules +mail-0s-low -mail-0s-high"],
        },
    ]


def test_pruning_removes_what_the_file_does_not_name_and_nothing_else_does(
    run: Run, premises: Premises, file: Path
) -> None:
    run("directory", "apply", str(file), "--yes")
    assert directory(premises, "a").user("old") is not None

    result = run("directory", "apply", str(file), "--prune", "--yes")

    assert "  - service demo" in result.stderr
    assert "2 removed" in result.stdout
    found = directory(premises, "a")
    assert [one.id for one in found.services()] == ["payments"]
    assert [one.id for one in found.users()] == ["ann"]
    assert found.records()[Name(Kind.SERVICE, "demo")].body is None


def test_a_region_can_be_named_and_one_that_cannot_be_read_is_passed_over(
    run: Run, premises: Premises, file: Path
) -> None:
    assert run("directory", "apply", str(file), "--yes", "--region", "b").exit_code == 0
    assert directory(premises, "b").service_of(NEW_KEY) is not None

    premises.log_path("a").unlink()
    result = run("directory", "ls", "--json")
    assert "not read: region a: there is no log" in result.stderr
    assert "payments" in [row["id"] for row in json.loads(result.stdout)]
    assert run("directory", "ls", "--region", "a").exit_code == 3


def test_a_log_that_gives_no_answer_leaves_the_question_open(
    run: Run, premises: Premises, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_FAULTS_FILE", "faults.json")
    switch = FaultSwitch(premises.data_dir / "faults.json")
    switch.set_rule(Rule(id="away", region="a", port="log", kind=Fault.UNAVAILABLE, op="write"))

    result = run("directory", "apply", str(file), "--yes")

    assert result.exit_code == 3
    trail = (premises.data_dir / "a" / "audit.log").read_text(encoding="utf-8")
    assert trail.count('"outcome":"unknown"') == 2
    switch.clear("away")
    assert run("directory", "apply", str(file), "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("responders: [ann]", "responders: [anne]", "services.0.responders.0: no user has the id 'anne'; did you mean"),
        ("responders: [ann]", "responders: [ann, ann]", "services.0.responders: two have the responder 'ann'"),
        ("method: hook", "method: hok", "users.0.rules.1.method: no method of this user has the id 'hok'; did you"),
        ("id: hook", "id: mail", "users.0.methods: two methods have the id 'mail'"),
        ("- {method: mail}", "- {method: mail}\n      - {method: mail}", "users.0.rules: two rules say the same"),
        (HOOK, "http://hooks.example.org/", "users.0.methods.1.address: must be an https URL"),
        (HOOK, "https://u:p@hooks.example.org/", "users.0.methods.1.address: must be an https URL without a user"),
        ("address: ann@", "address: Ann <ann@", "users.0.methods.0.address: must be a mail address"),
        ("kind: webhook", "kind: apprise", "users.0.methods.1.address: must be an apprise URL"),
        ("kind: email", "kind: pigeon", "users.0.methods.0.kind: Input should be"),
        ("delay_s: 300", "delay_s: -1", "users.0.rules.1.delay_s: Input should be greater"),
        ("delay_s: 300", "delay_s: .nan", "users.0.rules.1.delay_s: "),
        ("delay_s: 300", "delay_s: 86401", "users.0.rules.1.delay_s: Input should be less"),
        ("delay_s: 300", "delay_min: 5", "users.0.rules.1.delay_min: no such field"),
        (NEW_KEY, KEY, "services.0.routing_keys: holds a routing key of the service 'demo'"),
        ("email: ann@", "email: OLD@", "users.0.email: is the address of the user 'old'"),
        ("id: ann", "id: a nn", "users.0.id: "),
        ("urgency: high", "urgency: hihg", "services.0.urgency: Input should be 'high', 'low' or 'by-severity'"),
    ],
)
def test_each_fault_is_named_by_its_field_and_nothing_is_done(
    run: Run, premises: Premises, file: Path, old: str, new: str, complaint: str
) -> None:
    assert old in APPLIED
    file.write_text(APPLIED.replace(old, new, 1), encoding="utf-8")

    result = run("directory", "apply", str(file), "--yes")

    assert result.exit_code == 1
    assert f"{file}: {complaint}" in result.stderr
    assert NEW_KEY not in result.stderr
    assert directory(premises, "a").service("payments") is None


def test_all_faults_are_told_at_once(run: Run, file: Path) -> None:
    file.write_text(
        APPLIED.replace("urgency: high", "urgency: hihg").replace("kind: email", "kind: x"), encoding="utf-8"
    )

    told = run("directory", "apply", str(file), "--yes").stderr

    assert "services.0.urgency" in told
    assert "users.0.methods.0.kind" in told


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services: &all [*all]", "services.0: contains itself"),
        ("services: []\nusers:\n  - &ann {id: ann, rules: [*ann]}", "users.0.rules.0: contains itself"),
        (
            "services: []\nusers: [&u {id: ann, name: A, email: a@b, methods: [{id: x, kind: inbox, address: *u}]}]",
            "contains",
        ),
        ("services: [*nobody]", "undefined alias"),
    ],
)
def test_a_file_that_refers_to_itself_is_a_fault(run: Run, file: Path, text: str, complaint: str) -> None:
    file.write_text(text, encoding="utf-8")

    result = run("directory", "apply", str(file), "--yes")

    assert result.exit_code == 1
    assert complaint in result.stderr


def test_aliases_that_multiply_without_end_end(run: Run, file: Path) -> None:
    lines = ["services: []", "a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    file.write_text("\n".join(lines), encoding="utf-8")

    assert run("directory", "apply", str(file), "--yes").exit_code == 1


def test_a_user_with_ten_thousand_rules_is_a_fault(run: Run, file: Path) -> None:
    rules = "\n".join(f"      - {{method: mail, delay_s: {n}}}" for n in range(10_000))
    file.write_text(APPLIED + rules, encoding="utf-8")

    result = run("directory", "apply", str(file), "--yes")

    assert result.exit_code == 1
    assert "users.0.rules: Tuple should have at most 100 items" in result.stderr


def test_a_responder_whom_nothing_reaches_is_told_loudly(run: Run, file: Path) -> None:
    blocked = APPLIED.replace("address: ann@example.org}", "address: ann@example.org, blocked: true}")
    file.write_text(blocked.replace(f'"{HOOK}"}}', f'"{HOOK}", verified: false}}'), encoding="utf-8")
    fault = "responder ann of service payments has no contact method left that is not blocked"

    applied = run("directory", "apply", str(file), "--yes", "--json")
    assert f"WARNING: {fault}" in applied.stderr
    assert json.loads(applied.stdout)["faults"] == [fault]

    listed = run("directory", "ls")
    assert f"WARNING: {fault}" in listed.stderr
    assert "ann has no contact method left" in listed.stdout


# ls, show ------------------------------------------------------------------------------------------------------------


def test_what_there_is_is_listed(run: Run, file: Path) -> None:
    run("directory", "apply", str(file), "--yes")

    rows = {row["id"]: row for row in json.loads(run("directory", "ls", "--json").stdout)}
    assert [*rows] == ["demo", "payments", "ann", "old"]
    assert rows["payments"]["keys"] == [{"hash": hash_key(NEW_KEY).hex()[:12], "until_us": None}]
    assert rows["ann"]["responds_for"] == ["payments"]
    assert [*rows["ann"]["methods"][1].items()][2] == ("address", "https://hooks.example.org/…")

    users = json.loads(run("directory", "ls", "--kind", "user", "--json").stdout)
    assert [row["id"] for row in users] == ["ann", "old"]
    assert "the file" in run("directory", "ls").stdout


def test_one_is_shown_by_its_id(run: Run, file: Path) -> None:
    run("directory", "apply", str(file), "--yes")

    assert "id hook, kind webhook, address https://hooks.example.org/…" in run("directory", "show", "ann").stdout
    assert json.loads(run("directory", "show", "service/payments", "--json").stdout)["urgency"] == "high"
    unknown = run("directory", "show", "anne")
    assert unknown.exit_code == 3
    assert "did you mean 'ann'?" in unknown.stderr


def test_a_service_and_a_user_of_one_id_are_told_apart(run: Run, file: Path) -> None:
    file.write_text(APPLIED.replace("id: payments", "id: ann"), encoding="utf-8")
    run("directory", "apply", str(file), "--yes")

    assert run("directory", "show", "ann").exit_code == 2
    assert json.loads(run("directory", "show", "user/ann", "--json").stdout)["email"] == "ann@example.org"
