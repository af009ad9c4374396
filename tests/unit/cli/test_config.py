"""`tocsin config`: what is right is said to be, and each fault named with status 1."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
REGIONS = Path(__file__).parents[3] / "regions"


@pytest.fixture
def misspelt(tmp_path: Path) -> Path:
    """The local region files, of which one has a misspelt field and the other another partition count."""
    for name, old, new in (("a", "partitions:", "partitons:"), ("b", "partitions: 4", "partitions: -4")):
        text = (REGIONS / "local" / f"{name}.yaml").read_text(encoding="utf-8")
        (tmp_path / f"{name}.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return tmp_path


def test_the_configuration_that_comes_with_the_code_is_valid(run: Run) -> None:
    result = run("config", "check")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "regions a, b with 4 partitions fit together" in result.stdout
    assert json.loads(run("config", "check", "--json").stdout) == {"valid": True, "problems": []}


def test_every_fault_is_named_by_file_and_field(run: Run, misspelt: Path) -> None:
    result = run("config", "check", "--regions-dir", str(misspelt))

    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{misspelt}/a.yaml: partitions: is required and missing" in result.stderr
    assert f"{misspelt}/a.yaml: partitons: no such field; did you mean 'partitions'?" in result.stderr
    assert f"{misspelt}/b.yaml: partitions: should be greater than or equal to 1, is -4" in result.stderr


def test_faults_as_json_have_place_field_and_words(run: Run, misspelt: Path) -> None:
    result = run("config", "check", "--json", "--regions-dir", str(misspelt))

    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["valid"] is False
    assert {
        "where": f"{misspelt}/b.yaml",
        "field": "partitions",
        "what": "should be greater than or equal to 1, is -4",
    } in found["problems"]


def test_an_unknown_variable_is_a_fault_of_the_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__LIMITS__GRCE_S", "2")

    result = run("config", "check")

    assert result.exit_code == 1
    assert result.stderr == "error: TOCSIN_REGION__LIMITS__GRCE_S: no such field; did you mean 'grace_s'?\n"


def test_what_is_in_force_is_shown_with_overrides_in_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__LIMITS__GRACE_S", "2")
    monkeypatch.setenv("TOCSIN_DATA_DIR", "elsewhere")

    in_force = json.loads(run("config", "show", "--json").stdout)

    assert in_force["settings"]["data_dir"] == "elsewhere"
    assert [region["limits"]["grace_s"] for region in in_force["regions"]] == [2, 2]
    assert "grace_s: 2.0" in run("config", "show").stdout


def test_the_schema_is_printed_as_it_is_checked_in(run: Run) -> None:
    assert run("config", "schema").stdout == (REGIONS / "region.schema.json").read_text(encoding="utf-8")
