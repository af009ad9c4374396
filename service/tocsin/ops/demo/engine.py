"""What the demo's regions can run on. Apart from what starts it, so that a command's help loads no engine."""

from enum import StrEnum


class Engine(StrEnum):
    """What the regions run on."""

    EMBEDDED = "embedded"
    REAL = "real"
