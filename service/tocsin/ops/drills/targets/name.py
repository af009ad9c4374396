"""What a drill can be run against, by name. Apart from what starts it, so that a command's help loads no engine."""

from enum import StrEnum


class Name(StrEnum):
    """What a drill can be run against."""

    EMBEDDED = "embedded"
    """Two regions on embedded engines."""
    LOCAL = "local"
    """Two regions on Kafka, MirrorMaker 2 and Cassandra."""
    DEPLOYED = "deployed"
    """A region that people use."""
