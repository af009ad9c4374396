"""The shape of what a command answers: its words and columns, without what differs from one time to the next.

A sample is compared line by line. Times, ages, ids, numbers and addresses are free, and so is how often a line repeats,
since that is how many rows there are; `...` stands for any lines.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

LEFT_OUT = "..."
_FREE = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"[0-9a-f]{32}", "DATABASE"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\b\d\d:\d\d:\d\dZ", "TIME"),
        (r"https?://[\w.:-]+", "URL"),
        (r"0x[0-9a-f]{16}(\.[0-9a-f]{12})?(, 0x[0-9a-f]{16})*( and \d+ more)?", "ID"),
        (r"(ID: [\w-]+)(, ID: [\w-]+)+", r"\1"),
        (r"\(([^()]* ago|now|in [^()]*)\)", "(AGE)"),
        (r"\b\d+ (s|min|h|d) ago\b|\bjust now\b", "AGE"),
        (r"heard now", "heard AGE"),
        (r"(?<=services counted: ).*", "SERVICES"),
        (r"\b\d+ things?, in regions? [a-z, ]+", "N things, in regions"),
        (r"\(fault switch, rule [\w-]+\)", "(FAULT)"),
        (r"(?<=place  )\d|\b[ab]-\d+-\d+-", "N"),
        (r"(?<![\w.])-?[\d,.]*\d( (s|min|h|d)\b)?|(?<=\s)-(?=\s|$)", "N"),
        (r"\s+", " "),
    )
]


def shape(lines: Sequence[str]) -> list[str]:
    """The lines that are not empty, each without what is free, and like ones that follow each other once."""
    return [line for line, _ in groupby(filter(None, map(_of_line, lines)))]


def _of_line(line: str) -> str:
    for pattern, word in _FREE:
        line = pattern.sub(word, line)
    return line.strip()


def fits(sample: Sequence[str], answer: Sequence[str]) -> bool:
    """Whether an answer has the shape of a sample."""
    parts = list(_parts(sample))
    lines = shape(answer)
    if len(parts) == 1:
        return parts[0] == lines
    first, *between, last = parts
    if lines[: len(first)] != first or (last and lines[-len(last) :] != last):
        return False
    rest = lines[len(first) : len(lines) - len(last)]
    for part in between:
        at = next((at for at in range(len(rest)) if rest[at : at + len(part)] == part), None)
        if at is None:
            return False
        rest = rest[at + len(part) :]
    return True


def _parts(sample: Sequence[str]) -> Iterator[list[str]]:
    """What stands between the places where lines were left out; the first and the last may be empty."""
    part: list[str] = []
    for line in sample:
        if line.strip() == LEFT_OUT:
            yield shape(part)
            part = []
        else:
            part.append(line)
    yield shape(part)
