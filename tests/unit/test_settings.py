"""Settings: what the environment says is taken, and what nobody would read is refused."""

from pathlib import Path

import pytest

from tocsin.config import ConfigError
from tocsin.settings import Settings, variables
from tocsin.topology import Region, Topology, load_topology

LOCAL = Path(__file__).parents[2] / "regions" / "local"


@pytest.fixture
def topology() -> Topology:
    return load_topology(LOCAL)


@pytest.fixture
def region(topology: Topology) -> Region:
    return topology.region("a")


def refusal() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    return str(caught.value).splitlines()


def test_without_variables_the_local_regions_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(LOCAL.parents[1])

    assert Settings.load().topology().names == ("a", "b")


def test_variables_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION", "b")
    monkeypatch.setenv("tocsin_admin_port", "9000")

    settings = Settings.load()

    assert (settings.region, settings.admin_port) == ("b", 9000)


def test_an_option_goes_before_the_variable_and_one_not_given_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION", "b")
    monkeypatch.setenv("TOCSIN_STACK", "blue")

    settings = Settings.load(region="a", stack=None)

    assert (settings.region, settings.stack) == ("a", "blue")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "")

    assert Settings.load().port is None


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("TOCSIN_REGOIN", "TOCSIN_REGOIN: no such setting; did you mean 'TOCSIN_REGION'?"),
        ("TOCSIN_REGION_LIMITS", "TOCSIN_REGION_LIMITS: no such setting; did you mean 'TOCSIN_REGION__'?"),
        ("tocsin_data_dri", "TOCSIN_DATA_DRI: no such setting; did you mean 'TOCSIN_DATA_DIR'?"),
    ],
)
def test_a_variable_that_nobody_reads_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    monkeypatch.setenv(name, "x")

    assert refusal() == [complaint]


def test_overrides_come_only_by_their_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_OVERRIDES", '{"partitions": 2}')

    assert refusal()[0].startswith("TOCSIN_OVERRIDES: no such setting")


def test_every_faulty_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "65536")
    monkeypatch.setenv("TOCSIN_LOG_LEVEL", "loud")

    assert sorted(refusal()) == [
        "TOCSIN_LOG_LEVEL: should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', is 'loud'",
        "TOCSIN_PORT: should be less than or equal to 65535, is '65536'",
    ]


def test_a_field_of_the_region_files_is_replaced_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGIONS_DIR", str(LOCAL))
    monkeypatch.setenv("TOCSIN_REGION__LIMITS__GRACE_S", "2")
    monkeypatch.setenv("TOCSIN_REGION__LIMITS__HELD_MAX", "8")
    monkeypatch.setenv("TOCSIN_REGION__INTAKE", "{host: localhost}")

    region = Settings.load().topology().region("b")

    assert (region.limits.grace_s, region.limits.held_max) == (2, 8)
    assert (region.intake.host, region.querier.host) == ("localhost", "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        (
            "TOCSIN_REGION__LIMITS__GRACE",
            "2",
            "TOCSIN_REGION__LIMITS__GRACE: no such field; did you mean 'grace_s'?",
        ),
        (
            "TOCSIN_REGION__LIMITS__GRACE_S",
            "soon",
            "TOCSIN_REGION__LIMITS__GRACE_S: should be a valid number, unable to parse string as a number, is 'soon'",
        ),
    ],
)
def test_a_wrong_override_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv("TOCSIN_REGIONS_DIR", str(LOCAL))
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError) as caught:
        Settings.load().topology()

    assert str(caught.value) == complaint


def test_an_override_that_is_no_yaml_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__LIMITS", "{grace_s: 2")

    assert refusal()[0].startswith("TOCSIN_REGION__LIMITS: line 1, column")


def test_an_override_inside_a_section_that_another_replaces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__LIMITS", "3")
    monkeypatch.setenv("TOCSIN_REGION__LIMITS__GRACE_S", "2")

    assert refusal() == ["TOCSIN_REGION__LIMITS__GRACE_S: a shorter variable replaces the whole section already"]


def test_a_process_without_a_region_is_told_which_there_are(topology: Topology) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load().own_region(topology)

    assert str(caught.value) == "TOCSIN_REGION: is not set: name the region with it or --region; known: a, b"


def test_a_process_belongs_to_the_serving_stack_unless_told_otherwise(region: Region) -> None:
    assert Settings.load().own_stack(region)[0] == "blue"
    with pytest.raises(ConfigError, match="TOCSIN_STACK: region 'a' has no stack 'bleu'; did you mean 'blue'"):
        Settings.load(stack="bleu").own_stack(region)


def test_a_process_may_listen_elsewhere_than_its_region_file_says(region: Region) -> None:
    there = Settings.load(host="localhost", admin_port=9000).listening(region.intake)

    assert (there.host, there.port, there.admin_port) == ("localhost", 0, 9000)
    assert Settings.load().listening(region.creator) == region.creator


def test_a_port_for_clients_is_refused_where_the_role_has_none(region: Region) -> None:
    with pytest.raises(ConfigError, match="TOCSIN_PORT: is set, but this role has no clients"):
        Settings.load(port=9000).listening(region.creator)


def test_relative_paths_begin_in_the_data_directory() -> None:
    settings = Settings.load(data_dir=Path("/data"))

    assert settings.path(Path("a/log.sqlite")) == Path("/data/a/log.sqlite")
    assert settings.path(Path("/elsewhere/log.sqlite")) == Path("/elsewhere/log.sqlite")


def test_every_variable_has_its_meaning_written_down() -> None:
    assert all(variables().values())


def test_secrets_are_taken_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_TOKEN", "tocsin_secret")
    monkeypatch.setenv("TOCSIN_ROUTING_KEY", "r" * 32)

    settings = Settings.load()

    assert settings.token is not None
    assert settings.token.get_secret_value() == "tocsin_secret"
    shown = repr(settings) + settings.model_dump_json()
    assert "tocsin_secret" not in shown
    assert "r" * 32 not in shown


# A collector ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        (None, {}),
        ("x-tenant=incidents", {"x-tenant": "incidents"}),
        ("a=1, authorization = Bearer s3=cret ,", {"a": "1", "authorization": "Bearer s3=cret"}),
    ],
)
def test_headers_for_a_collector_are_parted_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str | None, headers: dict[str, str]
) -> None:
    if text is not None:
        monkeypatch.setenv("TOCSIN_OTLP_HEADERS", text)
    settings = Settings.load()

    assert settings.headers_for_collector() == headers
    assert "s3=cret" not in repr(settings)


@pytest.mark.parametrize("text", ["x-tenant", "=s3cret", "a=1,b="])
def test_headers_without_name_or_value_are_refused_without_showing_them(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TOCSIN_OTLP_HEADERS", text)

    with pytest.raises(ConfigError, match="TOCSIN_OTLP_HEADERS") as refused:
        Settings.load().headers_for_collector()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), [("OTLP_ENDPOINT", "collector:4317"), ("TRACE_RATIO", "1.5"), ("TRACE_RATIO", "-0.1")]
)
def test_what_no_collector_can_be_sent_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TOCSIN_{name}", value)

    with pytest.raises(ConfigError, match=f"TOCSIN_{name}"):
        Settings.load()
