"""Which objects an event says to look at."""

from __future__ import annotations

from typing import Any

import pytest

from flow_operator.shell.keys import (
    Concern,
    deployment_key,
    keys_of_child,
    keys_of_deployment,
    keys_of_run,
    run_key,
)

META = {"namespace": "data", "name": "x", "uid": "u"}


def run(**status: Any) -> dict[str, Any]:
    return {"metadata": META, "spec": {"deploymentRef": {"name": "etl"}}, "status": status}


def child(annotations: Any, manager: str = "flow-operator") -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": manager}
    return {"metadata": {**META, "annotations": annotations, "labels": labels}}


X, ETL = run_key("data", "x"), deployment_key("data", "etl")


def test_a_deployment_is_about_itself() -> None:
    assert keys_of_deployment({"metadata": META}) == Concern((deployment_key("data", "x"),))


def test_a_deployment_that_lets_runs_go_is_about_them_too() -> None:
    policy, active = {"concurrencyPolicy": "Forbid"}, {"active": [{"name": "y"}]}
    told = keys_of_deployment({"metadata": META, "spec": policy, "status": active})
    assert told.now == (deployment_key("data", "x"), run_key("data", "y"))


def test_a_run_is_about_itself_and_is_put_on_record_at_its_deployment() -> None:
    assert keys_of_run(run(phase="Running")) == Concern((X,), (ETL,))


def test_a_run_that_has_ended_is_about_its_deployment_alone() -> None:
    """Its place is free, and it may be too many."""
    assert keys_of_run(run(completionTime="2026-11-23T06:00:00Z")) == Concern((ETL,), over="u")


def test_a_run_without_spec_or_status_is_looked_at_all_the_same() -> None:
    assert keys_of_run({"metadata": META}) == Concern((X,))


def test_a_child_is_about_the_run_that_its_annotation_names() -> None:
    told = keys_of_child(child({"flow-operator.io/run": "r"}))
    assert told == Concern(later=(run_key("data", "r"),))


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"phase": "Running", "conditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"conditions": [{"type": "Complete", "status": "True"}]},
        {"conditions": [{"type": "FailureTarget", "status": "True"}]},
    ],
)
def test_a_child_that_has_ended_does_not_wait(status: dict[str, Any]) -> None:
    """What comes next may be another attempt, or another run's turn."""
    ended = child({"flow-operator.io/run": "r"}) | {"status": status}
    assert keys_of_child(ended) == Concern((run_key("data", "r"),))


def test_a_child_of_somebody_else_is_about_nothing() -> None:
    assert keys_of_child(child({"flow-operator.io/run": "r"}, manager="helm")) == Concern()
    assert keys_of_child(child(None)) == Concern()


def test_a_key_reads_as_people_name_the_object() -> None:
    assert str(run_key("data", "x")) == "FlowRun data/x"
