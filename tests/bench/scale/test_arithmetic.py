"""The arithmetic of the scale benches: it must not flatter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.bench.scale import inside, objects
from tests.bench.scale.api import Object, Seen
from tests.bench.scale.failover import Ticks
from tests.bench.scale.figures import Judged, percentile, slope
from tests.bench.scale.soak import Ledger
from tests.bench.tables import MISS


def run(uid: str, name: str, tick: datetime) -> Seen:
    spec: Object = {
        "deploymentRef": {"name": name},
        "trigger": {"type": "Schedule", "scheduledTime": tick.isoformat()},
    }
    return Seen(0.0, "ADDED", {"metadata": {"name": f"{name}-x", "uid": uid}, "spec": spec})


def job(owner: str) -> Seen:
    return Seen(0.0, "ADDED", {"metadata": {"name": "j", "ownerReferences": [{"uid": owner}]}})


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (1.0, 4), (0.25, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([4, 2, 1, 3], share) == value


def test_a_slope_comes_with_what_it_may_be_off() -> None:
    exact, rough = slope([(0, 1), (1, 3), (2, 5)]), slope([(0, 1), (1, 4), (2, 1), (3, 4)])

    assert (exact.value, exact.error) == (2, 0)
    assert rough.error > abs(rough.value)


def test_a_goal_that_is_exceeded_is_a_miss() -> None:
    goals = [Judged("x", value, 1.0, "s") for value in (1.0, 1.01)]

    assert [goal.row()[-1] for goal in goals] == ["pass", MISS]


def test_a_lost_and_a_double_tick_are_found_in_the_failover() -> None:
    ticks, began = Ticks(), datetime(2026, 1, 1, tzinfo=UTC)
    for number, second in enumerate((0, 3, 6, 9, 9, 12)):
        ticks.run(run(f"u{number}", "due-0001", began + timedelta(seconds=second)))
    for number in (0, 1, 3, 4):
        ticks.job(job(f"u{number}"))

    assert (ticks.lost(), ticks.double()) == (1, 1)


def test_a_lost_and_a_double_tick_are_found_in_the_soak() -> None:
    ledger, began = Ledger(20), datetime(2026, 1, 1, tzinfo=UTC)
    for number, second in enumerate((0, 20, 40, 60, 80)):
        ledger.run(run(f"u{number}", "soak-0001", began + timedelta(seconds=second)))
    for number in (0, 1, 3, 3):
        ledger.job(job(f"u{number}"))

    end = (began + timedelta(seconds=79)).timestamp()
    assert ledger.problems(["soak-0001"], end) == (1, 1)
    assert ledger.problems(["soak-0001", "soak-0002"], end) == (2, 1)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("storm-0042-29711520", "storm-0042"),
        ("storm-0042-0a1b2c3d4e-9f8e7d6c5b-1", "storm-0042"),
        ("coredns-5d78c9869d", None),
    ],
)
def test_a_job_is_told_by_the_name_of_its_deployment(name: str, owner: str | None) -> None:
    assert objects.owner_of(name) == owner


def test_memory_belongs_to_whom_it_was_asked_by() -> None:
    site, library = "/v/site-packages", "/usr/lib/python3.11"
    kopf = [f"{library}/json/decoder.py", f"{site}/kopf/_cogs/clients/watching.py"]

    assert inside._owner([*kopf, "/src/flow_operator/shell/app.py"]) == (
        "kopf/_cogs/clients/watching.py"
    )
    assert inside._owner([f"{site}/pydantic/main.py", "/src/flow_operator/core/runs.py"]) == (
        "flow_operator/core/runs.py"
    )
    assert inside._owner([f"{site}/aiohttp/client.py", f"{library}/asyncio/x.py"]) == "aiohttp"
    assert inside._owner([*kopf, "<frozen importlib._bootstrap>"]) == "imports"
