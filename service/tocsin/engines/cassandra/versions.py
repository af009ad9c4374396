"""The versions of the schema: one file of CQL each, in order, never changed once released.

Files are named `NNNN-what.cql`, numbered from 0001 without a gap. They hold statements that end with a semicolon at the
end of a line, and comments (`--`). Each statement must do no harm when it runs twice (IF NOT EXISTS): a migration that
was cut off begins its version anew. The checksum is over the statements alone, so a comment may still be improved.
"""

import functools
import hashlib
import re
from importlib import resources
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"([0-9]{4})-([a-z0-9-]+)\.cql")
_OPTIONS: Final = re.compile(r"\bWITH\b(.*)\Z", re.IGNORECASE | re.DOTALL)
_ORDER: Final = re.compile(r"CLUSTERING\s+ORDER\s+BY\s*\([^)]*\)", re.IGNORECASE)
_TABLE: Final = re.compile(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)", re.IGNORECASE)
_CLIENT_TIMES: Final = "CUSTOM_PROPERTIES = {'client_side_timestamps': {'status': 'enabled'}}"


class Version(NamedTuple):
    """One version, by its number (from 1), and what makes it of the one before."""

    number: int
    name: str
    statements: tuple[str, ...]
    checksum: str

    def __str__(self) -> str:
        return f"{self.number:04d}-{self.name}"


@functools.cache
def versions() -> tuple[Version, ...]:
    """All that this code knows, in order."""
    files = sorted(
        (file for file in resources.files(__package__).joinpath("schema").iterdir() if file.name.endswith(".cql")),
        key=lambda file: file.name,
    )
    return tuple(version(file.name, file.read_text(encoding="utf-8")) for file in files)


def version(file_name: str, text: str) -> Version:
    """The version of a file. Raises ValueError for a name that is none."""
    found = _NAME.fullmatch(file_name)
    if found is None:
        raise ValueError(f"{file_name} is no name of a version: NNNN-what.cql")
    lines = (line.partition("--")[0].rstrip() for line in text.splitlines())
    statements = tuple(
        statement.strip() for statement in re.split(r";[ \t]*(?:\n|\Z)", "\n".join(lines)) if statement.strip()
    )
    spelt = "\0".join(" ".join(statement.split()) for statement in statements)
    return Version(int(found[1]), found[2], statements, hashlib.sha256(spelt.encode()).hexdigest()[:16])


def for_keyspaces(statement: str) -> str:
    """A statement as Amazon Keyspaces takes it: a new table keeps the order of its rows, lets us say write times (which
    its tables else do not), and has none of the options by which Cassandra looks after its own files.
    """
    if not _TABLE.match(statement):
        return statement
    order = _ORDER.search(statement)
    options = [order[0], _CLIENT_TIMES] if order else [_CLIENT_TIMES]
    return f"{_OPTIONS.sub('', statement).rstrip()} WITH {' AND '.join(options)}"


def table_of(statement: str) -> str | None:
    """The table that a statement makes, None when it makes none."""
    found = _TABLE.match(statement)
    return found[1] if found else None
