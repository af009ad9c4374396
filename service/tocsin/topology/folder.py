"""The region files of a folder, read together: two files can each be right and yet not fit."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tocsin.config import ConfigError, Problem, nearest
from tocsin.topology.engines import CassandraStack
from tocsin.topology.reading import load_region
from tocsin.topology.region import Process, Region
from tocsin.topology.section import is_loopback


@dataclass(frozen=True, slots=True)
class Topology:
    """All regions of a folder, by name. They fit together: `load_topology` has seen to it."""

    regions: tuple[Region, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions, in order."""
        return tuple(region.name for region in self.regions)

    def region(self, name: str) -> Region:
        """The region of this name; raises ConfigError, naming the nearest, when there is none."""
        for region in self.regions:
            if region.name == name:
                return region
        raise ConfigError([Problem("region", "", f"no region {name!r}{nearest(name, self.names)}")])


def load_topology(directory: Path, overrides: Mapping[str, Any] | None = None) -> Topology:
    """All regions of a folder; `overrides` replace fields in each of them.

    Raises ConfigError with all faults of all files; how they fit together is looked at once each is right by itself.
    """
    paths = sorted(path for path in directory.glob("*") if path.suffix in {".yaml", ".yml"})
    if not paths:
        what = "has no region files (*.yaml)" if directory.is_dir() else "no such folder"
        hint = "name the folder with --regions-dir or TOCSIN_REGIONS_DIR"
        raise ConfigError([Problem(str(directory), "", f"{what}; {hint}")])
    loaded: dict[str, Region] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            loaded[str(path)] = load_region(path, overrides)
        except ConfigError as error:
            problems += error.problems
    if not problems:
        problems = [problem for check in _CHECKS for problem in check(loaded)]
    if problems:
        raise ConfigError(problems)
    return Topology(tuple(sorted(loaded.values(), key=lambda region: region.name)))


# Checks between files ------------------------------------------------------------------------------------------------


def _names_differ(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    yield from _unique(((file, "name", region.name) for file, region in loaded.items()), "the name of two regions")


def _peers_agree(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    files = {region.name: file for file, region in loaded.items()}
    listed = {region.name: {peer.name for peer in region.peers} for region in loaded.values()}
    for file, region in loaded.items():
        for number, peer in enumerate(region.peers):
            if peer.name not in files:
                known = set(files) - {region.name}
                yield Problem(file, f"peers.{number}.name", f"no region {peer.name!r}{nearest(peer.name, known)}")
        for other in sorted(set(files) - {region.name} - listed[region.name]):
            why = (
                f"{files[other]} lists {region.name!r} as its peer"
                if region.name in listed[other]
                else "nothing is passed on from a third region, so each mirrors from every other"
            )
            yield Problem(file, "peers", f"lacks {other!r}: {why}")


def _partitions_agree(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    (first_file, first), *rest = loaded.items()
    for file, region in rest:
        if region.partitions != first.partitions:
            what = (
                f"is {region.partitions}, but {first.partitions} in {first_file}: "
                "a key must have the same partition number in every region"
            )
            yield Problem(file, "partitions", what)


def _ports_differ(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    """A region's processes may share a machine; those of two regions do where both listen on a loopback address."""
    on_loopback: list[tuple[str, str, object]] = []
    for file, region in loaded.items():
        own: dict[tuple[str, str, object], Process] = {
            (file, f"{role}.{field}", port): process
            for role, process in region.processes.items()
            for field, port in process.ports.items()
        }
        clashes = list(_unique(own, "used twice in this region"))
        yield from clashes
        if not clashes:
            on_loopback += [place for place, process in own.items() if is_loopback(process.host)]
    yield from _unique(on_loopback, "used by two regions on this machine")


def _files_differ(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    places = (
        (file, field, place)
        for file, region in loaded.items()
        for field, place in [*region.files.items(), *region.keyspaces.items()]
    )
    yield from _unique(places, "written by two")


def _stores_take_our_write_times(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    """Apart from the section's own checks, so that all that was made for Keyspaces stays under test."""
    for file, region in loaded.items():
        for name, stack in region.stacks.items():
            if isinstance(stack, CassandraStack) and stack.flavor == "keyspaces":
                what = (
                    "Amazon Keyspaces takes write times of two days back to five minutes ahead, and ours say which "
                    "of two rows counts (docs/adr/0019): not usable; use Cassandra"
                )
                yield Problem(file, f"stacks.{name}.flavor", what)


_CHECKS: Final[Sequence[Callable[[Mapping[str, Region]], Iterator[Problem]]]] = (
    _names_differ,
    _peers_agree,
    _partitions_agree,
    _ports_differ,
    _files_differ,
    _stores_take_our_write_times,
)


def _unique(places: Iterable[tuple[str, str, object]], what: str) -> Iterator[Problem]:
    """A problem for each value that an earlier (file, field) has already."""
    first: dict[object, tuple[str, str]] = {}
    for file, field, value in places:
        if value in first:
            yield Problem(file, field, f"{value} is {what}: also {first[value][1]} of {first[value][0]}")
        else:
            first[value] = (file, field)
