"""What a test cannot do without, and who says that it is missing."""

import os
import shutil

import pytest

from tests.acceptance.clients.alertmanager import PROGRAM
from tests.acceptance.clients.pdjs import MODULES


def missing(client: str) -> str:
    """Why a client cannot be tried on this machine; empty when it can."""
    if client.startswith("alertmanager") and not shutil.which(PROGRAM):
        return "Alertmanager is not installed; `make client-deps` installs Debian's package"
    if client == "pdjs" and not shutil.which("node"):
        return "Node.js is not installed"
    if client == "pdjs" and not MODULES.is_dir():
        return "pdjs is not installed; `make client-deps` installs it"
    return ""


def skip_if(why: str) -> None:
    """Skips the test for a reason, if there is one; where everything must be there, under CI, it fails."""
    if why:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
