# noqa: INP001 - a script of the image, no package
"""The bill of materials of the environment that this Python runs in, in CycloneDX 1.5, as JSON on stdout.

Made from what is installed, not from what was asked for, and by the standard library alone, so that nothing is listed
that is there only to make the list. The same environment gives the same bytes.
"""

import hashlib
import importlib.metadata
import json
import re
import sys
from typing import Any


def components() -> list[dict[str, Any]]:
    """One component a distribution, in order of name."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        record = distribution.read_text("RECORD") or ""
        found[name] = {
            "type": "library",
            "name": name,
            "version": distribution.version,
            "purl": f"pkg:pypi/{name}@{distribution.version}",
            "bom-ref": f"pkg:pypi/{name}@{distribution.version}",
            # Of the list of its files with their hashes: another build of one version is another component.
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(record.encode()).hexdigest()}],
        } | _licenses(distribution.metadata)
    return [found[name] for name in sorted(found)]


def _licenses(metadata: Any) -> dict[str, Any]:
    said = metadata.get("License-Expression") or metadata.get("License")
    return {"licenses": [{"license": {"name": said.splitlines()[0][:80]}}]} if said else {}


def bill() -> dict[str, Any]:
    """The whole document."""
    version = ".".join(map(str, sys.version_info[:3]))
    python = {"type": "platform", "name": "python", "version": version, "bom-ref": f"python@{version}"}
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [python, *components()]}


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1, sort_keys=True)
