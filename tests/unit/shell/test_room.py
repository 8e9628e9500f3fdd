"""The ledger of active runs is read once, kept in step, and wakes whoever has room."""

from typing import Any, cast

import pytest

from flow_operator.core.settings import Settings
from flow_operator.shell.cluster import Cluster
from flow_operator.shell.keys import Key, run_key
from flow_operator.shell.room import Room


def run(name: str, phase: str = "", *, over: bool = False) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase, "resolvedSpec": {"x": 1}} if phase else {}
    if over:
        status["completionTime"] = "2026-11-23T06:00:00Z"
    return {
        "metadata": {
            "name": name,
            "namespace": "data",
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-11-23T06:00:00Z",
        },
        "spec": {"deploymentRef": {"name": "etl"}},
        "status": status,
    }


class Stored:
    """A cluster that has these runs."""

    def __init__(self, *runs: dict[str, Any]) -> None:
        self.runs = runs
        self.reads = 0

    async def list(self, resource: object, namespace: str | None) -> list[dict[str, Any]]:
        self.reads += 1
        return list(self.runs)


def room(stored: Stored, woken: list[Key], limit: int | None) -> Room:
    settings = Settings(max_active_runs=limit)
    return Room(cast("Cluster", stored), settings, [None], lambda *keys: woken.extend(keys))


async def test_without_limits_nothing_is_read() -> None:
    """Everybody has room, at no cost."""
    stored = Stored()
    assert await room(stored, [], None).ask(run("a")) is None
    assert stored.reads == 0


async def test_room_that_is_left_wakes_the_next() -> None:
    """What runs already counts, what has ended does not, and who waits is told."""
    woken: list[Key] = []
    stored = Stored(run("old", "Running"), run("gone", "Succeeded", over=True), run("b", "Queued"))
    kept = room(stored, woken, 2)
    assert await kept.ask(run("c")) is not None  # b waits for longer
    assert await kept.ask(run("b", "Queued")) is None
    kept.over(run_key("data", "nobody"))
    assert woken == []
    kept.over(run_key("data", "old"))
    assert woken == [run_key("data", "c")]
    assert await kept.ask(run("c")) is None
    assert stored.reads == 1


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(limit: int) -> None:
    """No room at all would be a stopped operator."""
    with pytest.raises(ValueError, match="max"):
        Settings(max_active_runs=limit)
