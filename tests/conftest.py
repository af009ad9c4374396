"""What holds for every test: a clean environment, and no example that fails for being slow."""

import os

import pytest
from hypothesis import Phase, settings

# A deadline measures the machine, not the code. In CI the same commit gives the same examples, so that red
# means the change did it; a developer's runs keep searching.
settings.register_profile("tocsin", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
# Each mutant of the core meets the same few examples: what one run kills, the next kills too (tests/mutation). That an
# example fails is enough; a smaller one that fails as well is of interest to nobody.
_FINDING = (Phase.explicit, Phase.generate)
settings.register_profile("mutation", deadline=None, derandomize=True, database=None, max_examples=25, phases=_FINDING)
settings.load_profile("ci" if os.environ.get("CI") else "tocsin")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings a developer exported must not decide whether a test passes."""
    for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
        monkeypatch.delenv(name)
