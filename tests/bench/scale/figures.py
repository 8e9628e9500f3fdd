"""Percentiles, slopes and verdicts: the arithmetic of the scale benches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.tables import MISS, Row


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed.

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


@dataclass(frozen=True)
class Slope:
    """A line through points, and how far its steepness may be off (twice the standard error)."""

    value: float
    error: float


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Fit a line by least squares.

    Raises:
        ValueError: There are fewer than three points, or all have the same x.
    """
    count = len(points)
    if count < 3:
        raise ValueError("a slope needs three points")
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError("all points have the same x")
    value = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - value * (x - mean_x)) ** 2 for x, y in points)
    return Slope(value, 2 * math.sqrt(rest / (count - 2) / spread))


@dataclass(frozen=True)
class Judged:
    """A goal beside what was measured.

    Attributes:
        what: What is measured.
        value: The measured figure.
        limit: The largest figure that meets the goal.
        unit: Behind both.
        digits: How many decimals to show.
    """

    what: str
    value: float
    limit: float
    unit: str
    digits: int = 2

    @property
    def passed(self) -> bool:
        """Whether the goal is met."""
        return self.value <= self.limit

    def row(self) -> Row:
        """What the table of goals has of it."""
        unit = f" {self.unit}" if self.unit else ""
        mark = "pass" if self.passed else MISS
        limit = f"{self.limit:.{self.digits}f}".rstrip("0").rstrip(".") if self.digits else ""
        limit = limit or f"{self.limit:.0f}"
        return (self.what, f"≤ {limit}{unit}", f"{self.value:.{self.digits}f}{unit}", mark)


@dataclass
class Section:
    """What one bench found.

    Attributes:
        name: `storm`, `standing`, …
        title: One line about it.
        tables: Each with its head.
        goals: What was asked, and what is.
        notes: Sentences below the tables.
        data: Every figure, for programs.
    """

    name: str
    title: str
    tables: list[list[Row]] = field(default_factory=list)
    goals: list[Judged] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
