"""`tocsin region ls`: where the regions are, from what runs and from their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]


def row(name: str, intake: str | None = None, query: str | None = None) -> dict[str, Any]:
    return {"name": name, "intake_url": intake, "query_url": query, "console_url": None, "ca_file": None}


def test_regions_that_do_not_run_have_no_address_where_their_files_leave_the_port_free(run: Run) -> None:
    assert json.loads(run("region", "ls", "--json").stdout) == [row("a"), row("b")]
    assert run("region", "ls").stdout.splitlines()[1].split("  ")[0].startswith("a")
    assert "not running" in run("region", "ls").stdout


def test_what_runs_is_found_where_it_was_published(run: Run, tmp_path: Path) -> None:
    up = {"regions": [row("a", "http://127.0.0.1:1111", "http://127.0.0.1:2222")], "routing_key": "r", "token": "t"}
    (tmp_path / "up.json").write_text(json.dumps(up), encoding="utf-8")

    result = run("region", "ls", "--json")

    assert json.loads(result.stdout) == [*up["regions"], row("b")]


def test_a_fixed_port_is_known_from_the_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REGION__INTAKE", "{host: localhost.example, port: 8080}")

    assert json.loads(run("region", "ls", "--json").stdout)[0] == row("a", "http://localhost.example:8080")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"regions": 3}', '{"regions": [{}]}', '{"regions": [3]}'])
def test_a_damaged_publication_is_named_and_said_how_to_mend(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text, encoding="utf-8")

    result = run("region", "ls")

    assert result.exit_code == 1
    assert f"{tmp_path}/up.json: is not what `tocsin up` writes; remove it" in result.stderr
