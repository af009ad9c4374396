"""`make alerts`: writes what the catalogue yields, and says which files that changed."""

from pathlib import Path

from tocsin.ops.alerts.catalogue import load_catalogue
from tocsin.ops.alerts.files import CATALOGUE, generated, write

if __name__ == "__main__":
    for path in write(generated(load_catalogue(CATALOGUE)), Path()):
        print(path)  # noqa: T201 - what a person runs it for
