"""An outcome store of one region in the exploration: small, copied at each change, and never broken by itself."""

from dataclasses import dataclass, field, replace

from tests.exploration.normal import freeze, shift_kept
from tocsin.core.budget import Budget
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.progress import ProgressRow


@dataclass(slots=True)
class Store:
    """What a region has stored. `generation` is the identity of the data: a restored backup has the next one."""

    generation: int = 1
    entries: frozenset[RequestKey] = frozenset()
    kept: dict[RequestKey, Kept] = field(default_factory=dict)
    marks: dict[RequestKey, tuple[int, bool]] = field(default_factory=dict)
    rows: dict[int, tuple[bool, bytes]] = field(default_factory=dict)
    lost: frozenset[tuple[str, int]] = frozenset()
    budget: Budget = field(default_factory=Budget)
    confirmed: frozenset[tuple[str, int]] = frozenset()
    """What any save that was acknowledged called done: for the checkers alone."""

    def copy(self) -> "Store":
        """An independent copy."""
        return replace(self, kept=self.kept.copy(), marks=self.marks.copy(), rows=self.rows.copy())

    def restored(self, backup: "Store") -> "Store":
        """The backup, put in this one's place: other data, so another identity."""
        return replace(backup.copy(), generation=self.generation + 1)

    @property
    def identity(self) -> str:
        """What the machine compares with the ledger's."""
        return f"db-{self.generation}"

    def keep(self, kept: Kept) -> None:
        """Writes a row, unless a later version stands there."""
        kept = shift_kept(kept, 0)
        there = self.kept.get(kept.key)
        if there is None or there.version < kept.version:
            self.kept[kept.key] = kept

    def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        """Marks a key, unless a later order stands there."""
        self.marks[key] = max(self.marks.get(key, (number, dropped)), (number, dropped))

    def save(self, row: ProgressRow, *, first: bool) -> None:
        """Saves an owner's progress in the row of its epoch."""
        self.rows[row.epoch] = (row.clean, row.encode())
        if first:
            self.rows = {epoch: saved for epoch, saved in self.rows.items() if epoch >= row.epoch}

    def progress(self) -> list[ProgressRow]:
        """What owners saved, the latest first: a store promises no order, and this one is the least kind."""
        return [
            ProgressRow.decode(0, epoch, clean=clean, raw=raw)
            for epoch, (clean, raw) in sorted(self.rows.items(), reverse=True)
        ]

    def open_rows(self) -> list[Kept]:
        """The kept rows that an owner loads."""
        return [kept for kept in self.kept.values() if kept.stage is not Stage.DONE]

    def outcome(self, key: RequestKey) -> str:
        """Where a request is, as a reader would be told."""
        if self.marks.get(key, (0, False))[1]:
            return "dropped"
        if key in self.entries:
            return "stored"
        kept = self.kept.get(key)
        return str(kept.stage) if kept else "absent"

    def justifies(self, key: RequestKey) -> bool:
        """Whether an offset with this request may be done: it is stored, or kept whole (held too: what was decided can
        be reopened, and progress never goes back).
        """
        return key in self.entries or key in self.kept

    def grow_older(self, units: int) -> None:
        """Shifts the times in it."""
        self.kept = {key: shift_kept(kept, units) for key, kept in self.kept.items()}

    def form(self) -> tuple[object, ...]:
        """The normal form."""
        kept, marks, rows = freeze(self.kept), freeze(self.marks), freeze(self.rows)
        return self.generation, self.entries, kept, marks, rows, self.lost, self.budget, self.confirmed
