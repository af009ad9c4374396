"""The page on sending events names what there is: every door with its answers, and every field of a service."""

import re
from pathlib import Path

import pytest

from tocsin.core.dialects.alertmanager import BODY_BYTES_MAX
from tocsin.core.events import EVENT_BYTES_MAX
from tocsin.core.idempotency import AHEAD_S_MAX
from tocsin.core.rates import EVENTS_PER_MIN_MAX
from tocsin.engines.directory_file import ServiceForm
from tocsin.roles.doors import DOORS, Door

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "intake.md").read_text(encoding="utf-8")
CLIENTS = REPOSITORY / "tests" / "acceptance" / "clients"


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.path)
def test_each_door_is_named_with_its_answer(door: Door) -> None:
    path = door.path.replace(":path", "")

    assert re.search(rf"`POST {re.escape(path)}` \| {door.accepted} \|", PAGE)
    assert re.search(r"^\| 429, 403, 503 \|", PAGE, re.MULTILINE)
    assert door.limited in (429, 403, 503)


def test_each_field_of_a_service_is_named_and_no_other() -> None:
    table = PAGE.partition("## Services")[2].partition("## When")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(ServiceForm.model_fields)


@pytest.mark.parametrize(
    "limit",
    [f"{EVENT_BYTES_MAX:,} bytes", f"{BODY_BYTES_MAX:,}", f"{AHEAD_S_MAX} s", f"Default {EVENTS_PER_MIN_MAX:,}"],
)
def test_the_limits_are_those_of_the_code(limit: str) -> None:
    assert limit in PAGE


def test_each_client_is_named_with_the_test_that_drives_it_or_as_not_tried() -> None:
    table = PAGE.partition("## Clients")[2].partition("## Answers")[0]
    tried = re.findall(r"^\|.*\| ([^|]+) \|$", table, re.MULTILINE)[1:]

    assert len(tried) > 8
    named = {name.strip("`") for name in tried} - {"not tried here"}
    assert named == {path.name for path in CLIENTS.glob("test_*.py")}


def test_the_versions_of_clients_are_those_that_are_tried() -> None:
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    pins += (CLIENTS / "javascript" / "package.json").read_text(encoding="utf-8")
    for name, version in re.findall(r"^\| `([@\w/]+)` ([\d.]+),", PAGE, re.MULTILINE):
        assert re.search(rf"{name}(==|\": \"){version}\.", pins), name
