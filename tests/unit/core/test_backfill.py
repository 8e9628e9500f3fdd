"""A past window becomes a FlowRun per tick, once, that the API accepts."""

from datetime import timedelta

import pytest

from flow_operator.api.v1alpha1 import FlowDeployment
from flow_operator.api.validate import validate
from flow_operator.core.backfill import backfill_runs
from tests.unit.core.world import T0, deployment, stamp

HOURLY = FlowDeployment.model_validate(
    deployment(schedules=[{"name": "x", "interval": {"every": "1h"}}])
)


def test_a_run_for_each_tick_of_the_window() -> None:
    """From the beginning to before the end, with names that stay the same."""
    runs = backfill_runs(HOURLY, "x", T0, T0 + timedelta(hours=3))
    times = [run["spec"]["trigger"]["scheduledTime"] for run in runs]
    assert times == [stamp(T0 + timedelta(hours=hour)) for hour in range(3)]
    assert runs == backfill_runs(HOURLY, "x", T0, T0 + timedelta(hours=3))
    assert len({run["metadata"]["name"] for run in runs}) == 3
    assert [validate("FlowRun", run) for run in runs] == [[]] * 3


def test_what_cannot_be_asked_for() -> None:
    """A schedule that is not there, and a window without an end in sight."""
    with pytest.raises(ValueError, match="no schedule 'y'"):
        backfill_runs(HOURLY, "y", T0, T0)
    with pytest.raises(ValueError, match="more than 1000"):
        backfill_runs(HOURLY, "x", T0, T0 + timedelta(days=90))
