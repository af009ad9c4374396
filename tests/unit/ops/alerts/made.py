"""The catalogue of the repository, and small ones made from it by changing one thing."""

import copy
from pathlib import Path
from typing import Any

import yaml

from tocsin.config import load_yaml
from tocsin.ops.alerts.catalogue import Catalogue, load_catalogue
from tocsin.ops.alerts.files import CATALOGUE

ROOT = Path(__file__).parents[4]
PATH = ROOT / CATALOGUE
LEVELS, ALERTS = "service_levels", "alerts"


def catalogue() -> Catalogue:
    """The one that is in force."""
    return load_catalogue(PATH)


def changed(place: Path, *way: Any, value: Any) -> Path:
    """A copy of the catalogue in which one field, found by this way into it, has another value."""
    data = copy.deepcopy(load_yaml(PATH))
    section: Any = data
    for step in way[:-1]:
        section = _named(section, step) if isinstance(step, str) and isinstance(section, list) else section[step]
    section[way[-1]] = value
    path = place / "catalogue.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def _named(items: list[Any], name: str) -> Any:
    return next(item for item in items if name in (item.get("name"), item.get("uid")))
