"""Real alerts and payloads, read where they stand beside the repository; a run without them says so.

In CI they are part of the demand, so there a missing file fails instead.
"""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"


def alerts() -> list[dict[str, Any]]:
    """Alert definitions that people run in production: service, name, description, severity."""
    return [json.loads(line) for line in _file("alerts.jsonl").read_text(encoding="utf-8").splitlines()]


def webhook_payloads() -> list[dict[str, Any]]:
    """Payloads recorded from a live service: nested, 1 to 28 KB, all of Unicode."""
    with gzip.open(_file("webhooks.jsonl.gz"), "rt", encoding="utf-8") as lines:
        return [json.loads(line)["payload"] for line in lines]


def _file(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"no {name} in ../{FOLDER.parent.name}/{FOLDER.name} beside the repository")
    return path
