"""The two directions of a network path. By itself, since commands name them in their help before anything is loaded."""

from enum import StrEnum


class Direction(StrEnum):
    """Of what passes, as seen from the client."""

    TO_SERVER = "to-server"
    TO_CLIENT = "to-client"
    BOTH = "both"
