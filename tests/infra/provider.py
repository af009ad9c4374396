"""The AWS provider, started once and kept: Terraform attaches to it.

Each command of Terraform would start the provider anew, 675 MB of it, to ask which kinds of resource there are, and
that would be most of a test. A provider that serves by itself (`-debug`, as its own authors test it) says where
it listens, and commands that have that in their environment attach to it.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ADDRESS: Final = "registry.terraform.io/hashicorp/aws"
START_S_MAX: Final = 120
LOGGERS: Final = ("PROVIDER", "SDK", "SDK_FRAMEWORK", "SDK_HELPER_SCHEMA", "SDK_MUX", "SDK_PROTO")


@contextmanager
def attached(folder: Path, log: Path, env: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """What Terraform must have in its environment to attach to a provider of its own, which runs while the body does.

    `folder` was initialised and has the provider; `env` is what the provider has in its environment besides.
    Only commands that configure it alike, or not at all, may share it at the same time.
    """
    (binary,) = (folder / ".terraform/providers" / ADDRESS).glob("*/*/terraform-provider-aws*")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "AWS_"))}
    # Each would tell of every request and answer: 80 MB for two regions.
    quiet = {f"TF_LOG_{name}": "ERROR" for name in LOGGERS}
    with (
        log.open("w") as said,
        subprocess.Popen([binary, "-debug"], env=clean | quiet | dict(env or {}), stdout=said, stderr=said) as server,
    ):
        try:
            yield {"TF_REATTACH_PROVIDERS": _address(log, server)}
        finally:
            server.terminate()


def _address(log: Path, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the provider ended: {log.read_text()}"
        if found := re.search(r"TF_REATTACH_PROVIDERS='(.*)'", log.read_text()):
            assert list(json.loads(found[1])) == [ADDRESS]
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"the provider did not start within {START_S_MAX} s: {log.read_text()}")
