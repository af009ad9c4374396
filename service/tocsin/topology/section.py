"""What all parts of a region file have in common."""

import ipaddress

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a region file. Unknown fields are refused: a typo must not silently mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host, as far as its name says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
