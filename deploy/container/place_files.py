# noqa: INP001 - a script of the image, no package
"""Places files in a container before its role starts: region files from variables, secrets from where ECS put them.

To the service both are files, and a container has variables. So a container that ends before the role starts writes
them to a volume that the role may only read. `FILES` says which: JSON, path to the name of the variable that has the
text. Nothing is printed but names of files.
"""

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Places all files; the status is 1 when a variable is missing, and then none is placed."""
    wanted = {Path(path): variable for path, variable in json.loads(os.environ["FILES"]).items()}
    if missing := sorted(set(wanted.values()) - set(os.environ)):
        sys.stderr.write(f"FILES names variables that are not set: {', '.join(missing)}\n")
        return 1
    for path, variable in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # Never for others to read, not even while it is written.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w", encoding="utf-8") as file:
            file.write(os.environ[variable])
        sys.stdout.write(f"placed {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
