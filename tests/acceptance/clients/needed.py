"""What a test cannot do without."""

import os

import pytest


def need(is_there: object, else_: str) -> None:
    """Skips the test when something is missing on this machine; where all of it must be, under CI, fails it."""
    if not is_there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(else_)
