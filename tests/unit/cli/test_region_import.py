"""`tocsin region import`: a deployed region's files are taken over whole, after a look, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from tocsin.topology import load_topology

Run = Callable[..., Result]
LOCAL = Path(__file__).parents[3] / "regions" / "local"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of region files that is not there yet."""
    return tmp_path / "regions"


@pytest.fixture
def printed(tmp_path: Path) -> Callable[..., str]:
    """A file as Terraform prints the local regions, some fields of region b replaced."""

    def make(**replaced: object) -> str:
        contents = {name: yaml.safe_load((LOCAL / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("a", "b")}
        contents["b"] |= replaced
        path = tmp_path / "region_files.json"
        path.write_text(json.dumps({name: json.dumps(content) for name, content in contents.items()}), encoding="utf-8")
        return str(path)

    return make


def test_the_files_that_terraform_printed_are_the_regions_afterwards(
    run: Run, folder: Path, printed: Callable[..., str]
) -> None:
    result = run("region", "import", printed(), "--yes", "--json", "--regions-dir", str(folder))

    assert result.exit_code == 0, result.stderr
    assert [(row["region"], row["state"]) for row in json.loads(result.stdout)] == [("a", "made"), ("b", "made")]
    assert load_topology(folder) == load_topology(LOCAL)
    assert sorted(path.name for path in folder.iterdir()) == ["a.yaml", "b.yaml"]
    assert f"+++ {folder}/a.yaml" in result.stderr
    assert f"to undo: rm {folder}/a.yaml {folder}/b.yaml" in result.stderr


def test_the_second_time_nothing_is_to_do(run: Run, folder: Path, printed: Callable[..., str]) -> None:
    words = ("region", "import", printed(), "--regions-dir", str(folder))
    run(*words, "--yes")

    again = run(*words)

    assert (again.exit_code, again.stderr) == (0, "nothing was to do\n")


def test_only_what_differs_is_shown_and_written(run: Run, folder: Path, printed: Callable[..., str]) -> None:
    run("region", "import", printed(), "--yes", "--regions-dir", str(folder))
    (folder / "README.md").write_text("kept", encoding="utf-8")
    untouched = (folder / "a.yaml").stat().st_mtime_ns

    result = run("region", "import", printed(founding=False), "--yes", "--json", "--regions-dir", str(folder))

    assert [row["state"] for row in json.loads(result.stdout)] == ["unchanged", "changed"]
    assert "+founding: false" in result.stderr
    assert f"git checkout -- {folder}/b.yaml" in result.stderr
    assert f"{folder}/a.yaml" not in result.stderr
    assert (folder / "a.yaml").stat().st_mtime_ns == untouched
    assert (folder / "README.md").read_text(encoding="utf-8") == "kept"


def test_nothing_is_written_where_nobody_can_be_asked(run: Run, folder: Path, printed: Callable[..., str]) -> None:
    result = run("region", "import", printed(), "--regions-dir", str(folder))

    assert result.exit_code == 2
    assert not folder.exists()


def test_regions_that_do_not_fit_together_are_refused_by_file_and_field(
    run: Run, folder: Path, printed: Callable[..., str]
) -> None:
    result = run("region", "import", printed(partitons=4), "--yes", "--regions-dir", str(folder))

    assert result.exit_code == 1
    assert f"{folder}/b.yaml: partitons: no such field" in result.stderr
    assert not folder.exists()


def test_a_region_is_judged_with_the_files_that_are_there(
    run: Run, folder: Path, printed: Callable[..., str], tmp_path: Path
) -> None:
    run("region", "import", printed(), "--yes", "--regions-dir", str(folder))
    before = (folder / "b.yaml").read_bytes()
    alone = tmp_path / "alone.json"
    region = yaml.safe_load((folder / "b.yaml").read_text(encoding="utf-8")) | {"partitions": 8}
    alone.write_text(json.dumps({"b": json.dumps(region)}), encoding="utf-8")

    result = run("region", "import", str(alone), "--yes", "--regions-dir", str(folder))

    assert result.exit_code == 1
    assert "partitions" in result.stderr
    assert (folder / "b.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("No outputs found", "is not JSON"),
        ("{}", "does not map names of regions"),
        ('{"a": {"name": "a"}}', "does not map names of regions"),
        ('{"../a": "name: ../a"}', "cannot name a region file"),
        ('{"a": "name: b"}', "a.name: is 'b', but stands under 'a'"),
        ('{"a": "- name"}', "must hold a mapping"),
    ],
)
def test_what_is_no_output_of_region_files_is_refused_in_words(
    run: Run, folder: Path, tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")

    result = run("region", "import", str(path), "--yes", "--regions-dir", str(folder))

    assert result.exit_code == 1
    assert why in result.stderr
    assert not folder.exists()
