"""The faults by their names, as plans and the coverage table speak of them."""

from collections.abc import Callable
from typing import Final

from tests.simulation import faults_of_engines as engines
from tests.simulation import faults_of_people as people
from tests.simulation import faults_of_processes as processes
from tests.simulation.scene import End, Scene

KINDS: Final[dict[str, Callable[[Scene], tuple[str, End]]]] = {
    "cut": engines.cut,
    "delay": engines.delay,
    "duplicate": engines.duplicate,
    "store dead": engines.store_dead,
    "store slow": engines.store_slow,
    "store unsure": engines.store_unsure,
    "store partly": engines.store_partly,
    "store full": engines.store_full,
    "store refuses": engines.store_refuses,
    "log away": engines.log_away,
    "log unsure": engines.log_unsure,
    "retention": engines.retention,
    "kill": processes.kill,
    "hang": processes.hang,
    "owner change": processes.owner_change,
    "clock skew": processes.clock_skew,
    "region loss": processes.region_loss,
    "restore": processes.restore,
    "release refuses": processes.release_refuses,
    "release older": processes.release_older,
    "release dies": processes.release_dies,
    "orders": people.orders,
    "drain": people.drain,
    "foreign": people.foreign,
    "burst": people.burst,
    "collision": people.collision,
}
ALONE: Final = frozenset(
    {
        "region loss",
        "restore",
        "release refuses",
        "release older",
        "release dies",
        "owner change",
        "clock skew",
        "drain",
        "hang",
    }
)
"""Of these a region suffers one at a time: two of them would undo each other's end."""
ENDS_ALL: Final = frozenset({"region loss", "hang", "store dead", "log away", "owner change", "kill"})
"""While these last little can begin: what is to meet them begins before."""
