"""All files that the catalogue yields: their text, where they are, and which of them are stale."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tocsin.ops.alerts.catalogue import Catalogue
from tocsin.ops.alerts.dashboards import GENERATED, dashboard_file
from tocsin.ops.alerts.index import index_file
from tocsin.ops.alerts.proofs import proofs_file
from tocsin.ops.alerts.rules import rules_file

FOLDER: Final = Path("deploy/alerts")
CATALOGUE: Final = FOLDER / "catalogue.yaml"
RULES: Final = FOLDER / "rules.yaml"
PROOFS: Final = FOLDER / "rules_test.yaml"
DASHBOARDS: Final = FOLDER / "dashboards"
INDEX: Final = Path("runbooks/README.md")


def generated(catalogue: Catalogue) -> dict[Path, str]:
    """Path from the root of the repository to text, of every generated file."""
    files = {
        RULES: _as_yaml(rules_file(catalogue)),
        PROOFS: _as_yaml(proofs_file(catalogue, RULES.name)),
        INDEX: f"<!-- {GENERATED} -->\n{index_file(catalogue)}",
    }
    for dashboard in catalogue.dashboards:
        text = json.dumps(dashboard_file(catalogue, dashboard), indent=2)
        files[DASHBOARDS / f"{dashboard.uid}.json"] = f"{text}\n"
    return files


def stale(files: Mapping[Path, str], root: Path) -> list[Path]:
    """Those that are not there as they would be written, and dashboards that are there and would not be."""
    wrong = [path for path, text in files.items() if not _is(root / path, text)]
    there = {path.relative_to(root) for path in (root / DASHBOARDS).glob("*.json")}
    return [*wrong, *sorted(there - set(files))]


def write(files: Mapping[Path, str], root: Path) -> list[Path]:
    """Makes all be as they should; returns what was not."""
    wrong = stale(files, root)
    for path in wrong:
        if path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(files[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return wrong


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _as_yaml(value: dict[str, Any]) -> str:
    return f"# {GENERATED}\n{yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)}"


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as they are read, and nothing by reference."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
