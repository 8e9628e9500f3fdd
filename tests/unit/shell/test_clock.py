"""Ticks go by the clock of the wall, timers by one that stands still while a machine sleeps."""

from __future__ import annotations

import asyncio

import pytest

from flow_operator.shell import clock


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param([10.0, 10.0, 10.0], [], id="in step"),
        pytest.param([10.0, 1810.0, 10.0], [1800.0], id="asleep for half an hour"),
        pytest.param([10.2, 10.2, 10.2, 10.2], [0.6], id="a little fast"),
        pytest.param([10.0, -3590.0, 10.0, 20.0], [10.0], id="set back by an hour, and ahead"),
    ],
)
async def test_timers_catch_up_with_the_wall(
    monkeypatch: pytest.MonkeyPatch, steps: list[float], told: list[float]
) -> None:
    """At each look ten seconds have passed for timers, and so many on the wall."""
    wall, steady, left = 1_000_000.0, 50.0, list(steps)
    caught: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal wall, steady
        if not left:
            raise asyncio.CancelledError
        steady += seconds
        wall += left.pop(0)

    monkeypatch.setattr(clock.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await clock.follow_clock(caught.append, wall=lambda: wall, steady=lambda: steady)
    assert caught == pytest.approx(told)
