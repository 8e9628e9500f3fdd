"""Medians, ratios and goals: the arithmetic of the bench, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.link import Traffic
from tests.bench.process import Sample


@dataclass
class Result:
    """What was measured of one client in one case; `samples` has one entry for each round."""

    client: str
    samples: list[Sample] = field(default_factory=list)
    memory: int = 0
    traffic: Traffic | None = None

    @property
    def wall(self) -> list[float]:
        """Seconds of each round."""
        return [sample.wall for sample in self.samples]

    @property
    def cpu(self) -> list[float]:
        """Processor seconds of each round, children included."""
        return [sample.cpu for sample in self.samples]

    def values(self, metric: str) -> list[float]:
        """The figures of one metric: `wall`, `cpu` or `memory`."""
        return [float(self.memory)] if metric == "memory" else list(getattr(self, metric))


@dataclass(frozen=True)
class Ratio:
    """The ratio of two medians, and the lowest and highest ratio of a pair from one round."""

    value: float
    low: float
    high: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Compare what was measured in the same rounds; a client that ran fewer times has fewer pairs.

    Raises:
        ValueError: One of them was never measured.
    """
    if not ours or not theirs:
        raise ValueError("nothing was measured")
    pairs = [one / other for one, other in zip(ours, theirs, strict=False)]
    return Ratio(median(ours) / median(theirs), min(pairs), max(pairs))


@dataclass(frozen=True)
class Goal:
    """What issue or design ask of the fetcher in one case.

    Attributes:
        metric: `wall`, `cpu` or `memory`.
        limit: The largest ratio to the peer; without a peer the largest value.
        peer: The client to compare with, or None.
        case: Another case that has the peer's figures, or None for the same one.
    """

    metric: str
    limit: float
    peer: str | None = None
    case: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A goal beside what was measured."""

    goal: Goal
    measured: Ratio

    @property
    def passed(self) -> bool:
        """Whether the goal is met."""
        return self.measured.value <= self.goal.limit


def judge(
    goals: Iterable[Goal],
    ours: Result,
    peers: dict[str, Result],
    others: dict[str, dict[str, Result]],
) -> list[Verdict]:
    """The verdict on each goal that something was measured for.

    Args:
        goals: Those of one case.
        ours: The fetcher's result.
        peers: The results of the same case, by client.
        others: Those of all cases, by name.
    """
    verdicts = []
    for goal in goals:
        mine = ours.values(goal.metric)
        if not mine:
            continue
        if goal.peer is None:
            value = median(mine)
            verdicts.append(Verdict(goal, Ratio(value, min(mine), max(mine))))
            continue
        measured = others.get(goal.case, {}) if goal.case else peers
        theirs = measured.get(goal.peer)
        if theirs is not None and theirs.values(goal.metric):
            verdicts.append(Verdict(goal, ratio(mine, theirs.values(goal.metric))))
    return verdicts
