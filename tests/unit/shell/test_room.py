"""The ledger of active runs is made once, kept in step, and wakes whoever has room."""

import time
from typing import Any

import pytest

from flow_operator.core.settings import Settings
from flow_operator.shell.cluster import FLOW_RUNS
from flow_operator.shell.keys import Key, run_key
from flow_operator.shell.room import Room
from flow_operator.shell.store import Store


def run(name: str, phase: str = "", *, over: bool = False) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase, "resolvedSpec": {"x": 1}} if phase else {}
    if over:
        status["completionTime"] = "2026-11-23T06:00:00Z"
    return {
        "metadata": {
            "name": name,
            "namespace": "data",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-23T06:00:00Z",
        },
        "spec": {"deploymentRef": {"name": "etl"}},
        "status": status,
    }


def room(woken: list[Key], limit: int | None, *runs: dict[str, Any]) -> Room:
    store = Store(lambda *_: None)
    for known in runs:
        store.saw(FLOW_RUNS, known)
    return Room(store, Settings(max_active_runs=limit), lambda *keys: woken.extend(keys))


def test_without_limits_everybody_has_room() -> None:
    assert room([], None, run("old", "Running")).ask(run("a")) is None


def test_room_that_is_left_wakes_the_next() -> None:
    """What runs already counts, what has ended does not, and who waits is told."""
    woken: list[Key] = []
    known = run("old", "Running"), run("gone", "Succeeded", over=True), run("b", "Queued")
    kept = room(woken, 2, *known)
    assert kept.ask(run("c")) is not None  # b waits for longer
    assert woken.pop() == run_key("data", "b")
    assert kept.ask(run("b", "Queued")) is None
    kept.leave("uid-nobody")
    assert woken == []
    kept.leave("uid-old")
    assert woken == [run_key("data", "c")]
    assert kept.ask(run("c")) is None


def test_who_cannot_start_is_given_no_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for something else, and would keep the room from others: it asks when it can."""
    woken: list[Key] = []
    kept = room(woken, 1, run("a", "Queued"), run("b", "Queued"))
    assert kept.ask(run("b", "Queued")) is not None
    assert woken.pop() == run_key("data", "a")
    kept.leave("uid-a")
    assert woken.pop() == run_key("data", "b")
    monkeypatch.setattr(time, "monotonic", lambda at=time.monotonic: at() + 1000.0)
    assert kept.ask(run("c")) is not None
    kept.leave("uid-b")
    assert woken == [run_key("data", "c")]


def test_what_others_let_go_ahead_counts_after_a_takeover() -> None:
    """A process that did not lead starts from what there is when it does."""
    store = Store(lambda *_: None)
    kept = Room(store, Settings(max_active_runs=1), lambda *_: None)
    assert kept.ask(run("a")) is None
    store.saw(FLOW_RUNS, run("b", "Running"))
    kept.forget()
    assert kept.ask(run("a")) is not None


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(limit: int) -> None:
    """No room at all would be a stopped operator."""
    with pytest.raises(ValueError, match="max"):
        Settings(max_active_runs=limit)


def test_another_run_of_that_name_keeps_its_room() -> None:
    """That the one before it is gone may be told late; its room is free, though, and no other."""
    woken: list[Key] = []
    kept = room(woken, 2)
    old, new = run("a", "Running"), run("a", "Running")
    new["metadata"]["uid"] = "uid-new"
    assert kept.ask(old) is None
    assert kept.ask(new) is None
    assert kept.ask(run("b")) is not None
    kept.leave("uid-a")
    assert woken == [run_key("data", "b")]
    kept.leave("uid-a")
    assert len(kept) == 2
