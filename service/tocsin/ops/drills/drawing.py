"""The timeline of a run as a drawing: where each thing stands, in pixels; the template only puts it on the page.

Three layers over one axis of seconds: the phases as bands, what happened as numbered marks, and each page as a dot at
the moment its alert was accepted, as high as it took to come.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from tocsin.ops.drills.run import Kind, Run

WIDTH: Final = 1000.0
LEFT: Final = 56.0
RIGHT: Final = 16.0
BANDS_Y: Final = 24.0
BAND_H: Final = 26.0
MARKS_Y: Final = 62.0
MARK_H: Final = 18.0
ROWS: Final = 3
"""Marks that stand close together are put below each other, in so many rows."""
MARK_W: Final = 22.0
PAGES_Y: Final = 140.0
PAGES_H: Final = 150.0
HEIGHT: Final = 330.0
X_TICKS_MAX: Final = 12
Y_TICKS_MAX: Final = 5
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
SHOWN: Final = frozenset({Kind.INJECT, Kind.EVIDENCE, Kind.PROBE, Kind.ABORT, Kind.HEAL, Kind.AGREED, Kind.TROUBLE})
ROUNDS: Final = frozenset({Kind.BASELINE, Kind.STEADY})


class Band(NamedTuple):
    """A phase."""

    x: float
    width: float
    y: float
    height: float
    name: str
    seconds: str


class Mark(NamedTuple):
    """Something that happened; its number stands in the list below the drawing."""

    x: float
    y: float
    number: int
    kind: str
    after_s: str
    text: str
    source: str


class Dot(NamedTuple):
    """A page."""

    x: float
    y: float
    late: bool
    label: str


class Tick(NamedTuple):
    """A mark of an axis."""

    at: float
    label: str


class Drawing(NamedTuple):
    """All of it."""

    width: float
    height: float
    left: float
    right: float
    pages_y: float
    pages_h: float
    bands: list[Band]
    marks: list[Mark]
    dots: list[Dot]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    limit_y: float | None
    """Where the limit of a page's time is; None when it is above all that is drawn."""


class _Scale(NamedTuple):
    began_s: float
    seconds: float

    def x(self, at_s: float) -> float:
        inner = WIDTH - LEFT - RIGHT
        return round(LEFT + inner * min(1.0, max(0.0, (at_s - self.began_s) / self.seconds)), 1)


def draw(run: Run) -> Drawing:
    """The drawing of a run that has ended."""
    times = run.times
    ended_s = times.ended_s or max([times.began_s, *(moment.at_s for moment in run.moments)])
    scale = _Scale(times.began_s, max(1.0, ended_s - times.began_s))
    slowest_s = max((wait_s for _, wait_s in run.account.waits), default=0.0)
    top_s = max(1.0, math.ceil(max(slowest_s * 1.15, min(run.drill.limits.page_s, 2 * slowest_s))))
    dots = [
        Dot(scale.x(at_s), _page_y(wait_s, top_s), wait_s > run.drill.limits.page_s, f"{wait_s:.1f} s")
        for at_s, wait_s in run.account.waits
    ]
    limit_s = run.drill.limits.page_s
    return Drawing(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        pages_y=PAGES_Y,
        pages_h=PAGES_H,
        bands=list(_bands(run, scale, ended_s)),
        marks=_marks(run, scale),
        dots=dots,
        x_ticks=[Tick(scale.x(times.began_s + at_s), f"{at_s:g} s") for at_s in _ticks(scale.seconds, X_TICKS_MAX)],
        y_ticks=[Tick(_page_y(at_s, top_s), f"{at_s:g} s") for at_s in _ticks(top_s, Y_TICKS_MAX)],
        limit_y=_page_y(limit_s, top_s) if limit_s <= top_s else None,
    )


def _bands(run: Run, scale: _Scale, ended_s: float) -> Iterator[Band]:
    times = run.times
    edges = [
        ("steady before", times.began_s, times.injected_s or ended_s),
        ("broken", times.injected_s, times.healed_s),
        ("recovering", times.healed_s, times.steady_s or ended_s),
        ("agreeing", times.steady_s, times.agreed_s or ended_s),
    ]
    for name, begin_s, end_s in edges:
        if begin_s is not None and end_s is not None and end_s > begin_s:
            x = scale.x(begin_s)
            yield Band(x, round(scale.x(end_s) - x, 1), BANDS_Y, BAND_H, name, f"{end_s - begin_s:.1f} s")


def _marks(run: Run, scale: _Scale) -> list[Mark]:
    marks: list[Mark] = []
    free = [0.0] * ROWS
    last_round = max((number for number, one in enumerate(run.moments) if one.kind in ROUNDS), default=-1)
    for number, moment in enumerate(run.moments):
        if moment.kind not in SHOWN and number not in {0, last_round}:
            continue  # a round that did not hold yet, among others: the list of rounds has it
        x = scale.x(moment.at_s)
        row = next((row for row in range(ROWS) if free[row] <= x), free.index(min(free)))
        free[row] = x + MARK_W
        after_s = f"{moment.at_s - run.times.began_s:.1f}"
        place = MARKS_Y + row * (MARK_H + 2)
        marks.append(Mark(x, place, len(marks) + 1, moment.kind.value, after_s, moment.text, moment.source))
    return marks


def _page_y(wait_s: float, top_s: float) -> float:
    return round(PAGES_Y + PAGES_H * (1 - min(1.0, wait_s / top_s)), 1)


def _ticks(seconds: float, ticks_max: int) -> Iterator[float]:
    step = next((step for step in STEPS if seconds / step <= ticks_max), STEPS[-1])
    return (number * step for number in range(int(seconds // step) + 1))
