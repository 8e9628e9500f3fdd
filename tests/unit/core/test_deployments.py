"""A FlowDeployment becomes runs: when, how often, and how many are kept."""

from datetime import timedelta
from typing import Any

import pytest

from flow_operator.core.decision import CreateRun, Refusal, WriteStatus
from flow_operator.core.deployments import decide_deployment
from tests.unit.core.world import (
    FETCHED,
    RUNNING,
    SUCCEEDED_POD,
    T0,
    World,
    deployment,
    failed_fetch,
    flow_run,
    pod,
    run_becomes_pending,
    stamp,
)


@pytest.fixture
def world() -> World:
    world = World()
    world.put(deployment())
    return world


def run_to_end(world: World) -> None:
    world.reconcile()
    world.pod_becomes(SUCCEEDED_POD)
    world.reconcile()


def test_apply_runs_once(world: World) -> None:
    """Applying a deployment makes one run, whatever often it is looked at."""
    world.reconcile()
    world.reconcile()
    assert len(world.all("FlowRun")) == 1
    assert world.one("FlowDeployment")["status"]["lastTrigger"]["sequence"] == 1


def test_there_and_back_runs_three_times(world: World) -> None:
    """A, then B, then A again are three spec changes."""
    for parameters in ({"a": 2}, {"a": 1}, {"a": 2}):
        world.edit(parameters=parameters)
        run_to_end(world)
    assert len([key for key in world.created if key[0] == "FlowRun"]) == 3


@pytest.mark.parametrize(
    "edit",
    [
        {"suspend": False},
        {"successfulRunsHistoryLimit": 1},
        {"pendingDeadlineSeconds": 10},
        {"env": None},
    ],
)
def test_edit_that_changes_no_pod_runs_nothing(world: World, edit: dict[str, Any]) -> None:
    """Fields about when and how long do not start a run; nor does a default that is written out."""
    world.reconcile()
    world.edit(**edit)
    world.reconcile()
    assert len(world.all("FlowRun")) == 1


def test_suspend_holds_the_run_until_it_is_lifted(world: World) -> None:
    """A suspended deployment is Ready with reason Suspended, and runs when it is resumed."""
    world.edit(suspend=True)
    world.reconcile()
    assert world.all("FlowRun") == []
    ready = world.condition("FlowDeployment", "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("True", "Suspended")
    world.edit(suspend=False)
    world.reconcile()
    assert len(world.all("FlowRun")) == 1


def test_run_on_nothing_runs_on_demand_only(world: World) -> None:
    """runOn: [] leaves it to FlowRuns that somebody creates."""
    world.edit(runOn=[])
    world.reconcile()
    assert world.all("FlowRun") == []


def test_last_run_is_on_the_status(world: World) -> None:
    """The status names the newest run, its phase, and how the last finished one ended."""
    run_to_end(world)
    status = world.one("FlowDeployment")["status"]
    assert status["lastRun"]["phase"] == "Succeeded"
    condition = world.condition("FlowDeployment", "LastRunSucceeded")
    assert condition is not None
    assert condition["status"] == "True"


def test_a_run_that_is_pending_costs_the_deployment_one_write(world: World) -> None:
    """What is said of it with the trigger holds until its Pod has started."""
    run_becomes_pending(world)
    world.pod_becomes(pod(FETCHED, RUNNING, phase="Running"))
    world.reconcile()
    last, run = world.one("FlowDeployment")["status"]["lastRun"], world.one("FlowRun")["status"]
    assert last["phase"] == run["phase"] == "Running"
    assert last["startTime"] == run["startTime"] == stamp(T0 + timedelta(seconds=1))


def test_failed_run_leaves_the_deployment_ready(world: World) -> None:
    """Ready is about the definition, never about the last run."""
    world.reconcile()
    world.pod_becomes(failed_fetch("RevisionNotFound"))
    world.reconcile()
    ready, last = (world.condition("FlowDeployment", c) for c in ("Ready", "LastRunSucceeded"))
    assert ready is not None
    assert last is not None
    assert ready["status"] == "True"
    assert (last["status"], last["reason"]) == ("False", "RevisionNotFound")


def test_history_limits_delete_the_oldest_of_our_runs(world: World) -> None:
    """Only so many finished runs are kept, and the record of the last one outlives it."""
    world.edit(successfulRunsHistoryLimit=0)
    run_to_end(world)
    assert world.all("FlowRun") == []
    assert world.one("FlowDeployment")["status"]["lastRun"]["phase"] == "Succeeded"


def test_history_limits_leave_the_users_runs_alone(world: World) -> None:
    """A FlowRun that somebody created is never deleted: it may be kept in git."""
    world.edit(successfulRunsHistoryLimit=0, runOn=[])
    world.put(flow_run())
    run_to_end(world)
    assert world.one("FlowRun")["status"]["phase"] == "Succeeded"


def test_too_many_parameters_are_invalid(world: World) -> None:
    """What a schema cannot state is said on Ready and Stalled, naming field and remedy."""
    world.edit(parameters={"a": "x" * 70_000})
    world.reconcile()
    ready, stalled = (world.condition("FlowDeployment", c) for c in ("Ready", "Stalled"))
    assert ready is not None
    assert stalled is not None
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.parameters" in ready["message"]
    assert world.all("FlowRun") == []
    world.edit(parameters={"a": "x"})
    world.reconcile()
    assert world.condition("FlowDeployment", "Stalled") is None
    assert len(world.all("FlowRun")) == 1


def test_object_of_another_schema_is_invalid_not_a_crash() -> None:
    """An object that this release cannot read gets a condition that names the field."""
    raw = deployment()
    del raw["spec"]["source"]
    decision = decide_deployment(raw, [], T0)
    (status,) = [action for action in decision.actions if isinstance(action, WriteStatus)]
    assert "spec.source" in status.status["conditions"][0]["message"]


def test_name_conflict_is_told_and_tried_again() -> None:
    """A stranger's FlowRun of the needed name makes the deployment not Ready."""
    decision = decide_deployment(deployment(), [], T0, Refusal("NameConflict", "taken", final=True))
    assert not any(isinstance(action, CreateRun) for action in decision.actions)
    (status,) = [action for action in decision.actions if isinstance(action, WriteStatus)]
    assert status.status["conditions"][0]["reason"] == "NameConflict"
    assert "lastTrigger" not in status.status
    assert decision.requeue_after is not None
