"""How the demo cuts what one region hears of another: where the mirror between them reads."""

from typing import Protocol

from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.ops.local.control import LocalControl


class Mirrors(Protocol):
    """The mirrors between the regions; a cut lasts until it is healed."""

    async def cut(self, source: str, target: str) -> None:
        """Nothing that enters at `source` reaches `target` any more."""

    async def heal(self, source: str, target: str) -> None:
        """Ends that cut."""

    async def heal_all(self) -> None:
        """Ends all cuts."""


class EmbeddedMirrors:
    """The mirrors of the embedded log, which read through the fault switch."""

    def __init__(self, switch: FaultSwitch) -> None:
        self._switch = switch

    async def cut(self, source: str, target: str) -> None:
        """As `Mirrors` says."""
        self._switch.set_rule(Rule(id=_name(source, target), region=target, port="mirror", kind=Fault.CUT, peer=source))

    async def heal(self, source: str, target: str) -> None:
        """As `Mirrors` says."""
        self._switch.clear(_name(source, target))

    async def heal_all(self) -> None:
        """As `Mirrors` says."""
        for rule in self._switch.rules():
            if rule.port == "mirror":
                self._switch.clear(rule.id)


class ServerMirrors:
    """Mirrors that are servers, each of which reads through a network path of its own."""

    def __init__(self, control: LocalControl) -> None:
        self._control = control

    async def cut(self, source: str, target: str) -> None:
        """As `Mirrors` says."""
        await self._control.cut(_name(source, target))

    async def heal(self, source: str, target: str) -> None:
        """As `Mirrors` says."""
        await self._control.heal(_name(source, target))

    async def heal_all(self) -> None:
        """As `Mirrors` says."""
        await self._control.heal()


def _name(source: str, target: str) -> str:
    """Of a mirror, as the set of local servers calls it."""
    return f"mirror-{source}-{target}"
