"""What `tocsin up` publishes while it runs: where the regions are, and by which secrets one may try them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from tocsin.config import ConfigError, Problem
from tocsin.settings import Settings
from tocsin.topology import Region, Topology


class Published(NamedTuple):
    """The content of the file. `regions` is by name; what is None or missing is not known."""

    regions: Mapping[str, dict[str, Any]]
    routing_key: str | None
    token: str | None

    @classmethod
    def read(cls, up_file: Path) -> Self:
        """What stands there; of nothing, while `tocsin up` does not run. Raises ConfigError for anything else."""
        try:
            up = json.loads(up_file.read_bytes())
            regions = {row["name"]: row for row in up["regions"]}
            return cls(regions, up.get("routing_key"), up.get("token"))
        except FileNotFoundError:
            return cls({}, None, None)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            what = "is not what `tocsin up` writes; remove it, or start `tocsin up` anew"
            raise ConfigError([Problem(str(up_file), "", what)]) from error

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Published(regions={sorted(self.regions)})"


def addresses(region: Region, settings: Settings) -> dict[str, Any]:
    """Where clients find a region, as far as its file tells."""
    ca_file = settings.ca_file(region)
    return {
        "name": region.name,
        "intake_url": region.intake.url,
        "query_url": region.querier.url,
        "console_url": None,
        "ca_file": None if ca_file is None else str(ca_file),
    }


def admin_urls(topology: Topology, published: Published) -> dict[str, dict[str, str | None]]:
    """Where the admin port of each role is, by region and role: as published, else as far as the region files tell."""
    return {
        region.name: (published.regions.get(region.name) or {}).get("admin_urls")
        or {role: process.admin_url for role, process in region.processes.items()}
        for region in topology.regions
    }
