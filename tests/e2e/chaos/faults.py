"""Which faults strike when: drawn from a seed, so that the seed replays them."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What can happen."""

    KILL = "SIGKILL of an operator"
    KILL_LEADER = "SIGKILL of the leader"
    FREEZE = "SIGSTOP of the leader for longer than its lease, then SIGCONT"
    API_SERVER = "kube-apiserver killed and started again"
    ETCD = "etcd killed and started again"
    DROP = "watches cut in the middle of a line"
    SILENCE = "watches that go on, but say nothing more"
    GONE = "watches that cannot go on from where they were (410)"
    TOO_MANY = "429 with Retry-After"
    CONFLICT = "409 on writes"
    REFUSE = "5xx on writes that were not carried out"
    LOSE = "5xx or a cut connection on writes that were carried out"
    SLOW = "requests that take seconds"


PROCESSES = frozenset({Kind.KILL, Kind.KILL_LEADER, Kind.FREEZE})
COMPONENTS = frozenset({Kind.API_SERVER, Kind.ETCD})
REQUESTS = frozenset({Kind.GONE, Kind.TOO_MANY, Kind.CONFLICT, Kind.REFUSE, Kind.LOSE, Kind.SLOW})

ROUND_SECONDS = 66.0
"""In a round of that length every kind strikes at least once."""

_BEGIN = 2.0
_ROLLS = 6
_AGAIN = (Kind.DROP, Kind.TOO_MANY, Kind.CONFLICT, Kind.REFUSE, Kind.LOSE, Kind.SLOW)


@dataclass(frozen=True)
class Fault:
    """One thing that happens.

    Attributes:
        at: After how many seconds.
        kind: What.
        operator: To which operator, where that is not up to who leads.
        seconds: How long it lasts: until a process is back, or while requests are slow.
        count: How many requests are meddled with.
    """

    at: float
    kind: Kind
    operator: int
    seconds: float
    count: int

    def __str__(self) -> str:
        if self.kind is Kind.KILL or self.kind in (Kind.DROP, Kind.SILENCE):
            where = f", operator {self.operator}"
        else:
            where = f", {self.count} requests" if self.kind in REQUESTS - {Kind.SLOW} else ""
        lasts = f", {self.seconds:.1f} s" if self.kind not in REQUESTS - {Kind.SLOW} else ""
        return f"{self.at:6.1f} s  {self.kind}{where}{lasts}"


def draw(
    seed: int, seconds: float, *, operators: int = 2, without: Collection[Kind] = ()
) -> list[Fault]:
    """Return the faults of a storm, in order.

    Args:
        seed: What they are drawn from.
        seconds: How long the storm is; at least one round.
        operators: How many there are.
        without: Kinds that are not possible here.
    """
    dice = random.Random(seed)
    rounds = max(round(seconds / ROUND_SECONDS), 1)
    length = max(seconds, ROUND_SECONDS) / rounds
    found = []
    for number in range(rounds):
        start = number * length + (_BEGIN if number == 0 else 0.0)
        found += _round(dice, start, length - (_BEGIN if number == 0 else 0.0), operators)
    return sorted((f for f in found if f.kind not in without), key=lambda fault: fault.at)


def _round(dice: random.Random, start: float, length: float, operators: int) -> list[Fault]:
    heavy = sorted(PROCESSES | COMPONENTS)
    dice.shuffle(heavy)
    slot = length / len(heavy)
    # Processes need some seconds to come back: what takes one away has its own part of the round.
    times = [(start + (n + dice.uniform(0.0, 0.5)) * slot, kind) for n, kind in enumerate(heavy)]
    # It takes a client a minute to notice silence: the sooner it begins, the sooner all is over.
    times.append((start + dice.uniform(0.05, 0.2) * length, Kind.SILENCE))
    light = [Kind.GONE, *_AGAIN, *dice.choices(_AGAIN, k=_ROLLS)]
    times += [(start + dice.uniform(0.02, 0.95) * length, kind) for kind in light]
    return [_fault(dice, at, kind, operators) for at, kind in times]


def _fault(dice: random.Random, at: float, kind: Kind, operators: int) -> Fault:
    low, high = {
        Kind.FREEZE: (10.0, 12.0),  # a lease takes 8 s
        Kind.SLOW: (2.0, 4.0),
        Kind.API_SERVER: (0.0, 3.0),
        Kind.ETCD: (0.0, 4.0),
    }.get(kind, (0.2, 4.0))
    return Fault(
        round(at, 1),
        kind,
        dice.randrange(operators),
        round(dice.uniform(low, high), 1),
        dice.randint(2, 8),
    )
