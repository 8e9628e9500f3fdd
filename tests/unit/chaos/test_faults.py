"""A seed stands for a storm, and every storm has every kind of fault."""

import pytest

from tests.e2e.chaos.faults import COMPONENTS, ROUND_SECONDS, Kind, draw
from tests.e2e.chaos.workload import Timer, text_of, unix


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_replays(seed: int) -> None:
    """The same seed draws the same faults, and another one others."""
    assert draw(seed, 100.0) == draw(seed, 100.0) != draw(seed + 1, 100.0)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_is_there_in_order(seed: int) -> None:
    """However short the storm, each kind has its turn."""
    faults = draw(seed, 10.0)
    assert {fault.kind for fault in faults} == set(Kind)
    times = [fault.at for fault in faults]
    assert times == sorted(times)
    assert 0 < times[0] <= times[-1] <= ROUND_SECONDS
    assert not COMPONENTS & {fault.kind for fault in draw(seed, 10.0, without=COMPONENTS)}


@pytest.mark.parametrize(
    ("timer", "ticks"),
    [
        (Timer("x", 25), ["2026-11-23T10:00:00Z", "2026-11-23T10:00:25Z", "2026-11-23T10:00:50Z"]),
        (Timer("x", 40, offset=7), ["2026-11-23T10:00:07Z", "2026-11-23T10:00:47Z"]),
        (Timer("x"), ["2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z"]),
    ],
)
def test_ticks_by_plain_arithmetic(timer: Timer, ticks: list[str]) -> None:
    """Ticks are later than the one moment, and not later than the other."""
    since, until = unix("2026-11-23T09:59:59Z"), unix("2026-11-23T10:01:00Z")
    assert [text_of(tick) for tick in timer.ticks(since, until)] == ticks
    assert timer.ticks(unix(ticks[0]), until) == [unix(tick) for tick in ticks[1:]]
