"""The scale benches run: a bench that nobody can run measures nothing."""

from __future__ import annotations

from tests.bench.scale import soak
from tests.bench.scale.bench import Options


async def test_a_short_soak_ends_with_every_tick_run_once() -> None:
    section = await soak.measure(Options(quick=True, count=6, minutes=0.3))

    judged = {goal.what: goal for goal in section.goals}
    assert judged["ticks lost or doubled"].passed
    assert judged["at the end: probes that fail"].passed
    assert section.data["runs"] >= 12
