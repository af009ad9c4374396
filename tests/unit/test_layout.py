"""The places that documents speak of exist, and no module grew past reading in one sitting."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [
    "benchmarks",
    "chaos",
    "docs/adr",
    "regions",
    "runbooks",
    "service",
    "terraform",
    "tests",
]
LINES_MAX = 450


@pytest.mark.parametrize("place", PLACES)
def test_a_place_has_content_or_says_what_is_to_come(place: str) -> None:
    files = [path for path in (ROOT / place).rglob("*") if path.is_file() and "__pycache__" not in path.parts]

    assert files, f"{place}/ is missing or empty"
    assert any(path.stat().st_size for path in files), f"{place}/ holds empty files only"


def test_no_module_is_longer_than_one_can_read_in_one_sitting() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "service" / "tocsin").rglob("*.py")
    }

    assert lengths
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}
