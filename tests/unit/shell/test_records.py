"""What is kept of an object is small, and enough for every decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flow_operator.core.deployments import decide_deployment
from flow_operator.core.jobstate import read_job
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Resource
from flow_operator.shell.records import record_of
from tests.unit.shell.objects import TIME, Manifest, deployment, job, pod, run

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)


def kept(resource: Resource, manifest: Manifest) -> dict[str, Any]:
    return record_of(resource, manifest)[0].manifest()


def test_a_deployment_is_decided_on_alike() -> None:
    """When it was edited counts, and is told by managedFields alone."""
    raw = deployment(schedules=[{"name": "default", "cron": "30 6 * * *"}])
    raw["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 999}
    raw["metadata"]["managedFields"] = [
        {"manager": "kubectl", "time": "2026-11-23T06:10:00Z", "fieldsV1": {"f:spec": {}}},
        {"manager": "us", "time": "2026-11-23T06:50:00Z", "subresource": "status"},
    ]
    trimmed = kept(FLOW_DEPLOYMENTS, raw)
    assert decide_deployment(trimmed, [], NOW) == decide_deployment(raw, [], NOW)
    assert len(str(trimmed)) < len(str(raw)) / 2


def test_an_unfinished_run_is_kept_whole() -> None:
    """Its status is replaced by one that goes on from it."""
    raw = run(phase="Running", resolvedSpec={"parameters": {"ü": None}}, attempts=[{"number": 1}])
    assert kept(FLOW_RUNS, raw) == raw


def test_of_a_finished_run_the_bulk_is_left_out() -> None:
    raw = run(phase="Succeeded", completionTime=TIME, resolvedSpec={"a": 1}, result={"rows": 1})
    assert kept(FLOW_RUNS, raw)["status"] == {"phase": "Succeeded", "completionTime": TIME}


def test_job_and_pod_are_read_alike() -> None:
    """Specs, probes and images say nothing about how an attempt ended."""
    whole, one = job("j", 3, "etl-1", "Complete", suspend=False), pod("p", 4, "j", "Succeeded")
    ended = {"terminated": {"exitCode": 0, "message": '{"version":1,"result":7}'}}
    one["status"]["containerStatuses"] = [{"name": "flow", "state": ended, "image": "x" * 99}]
    trimmed = kept(PODS, one)
    assert read_job(kept(JOBS, whole), [trimmed]) == read_job(whole, [one])
    assert "spec" not in trimmed
    assert NOW - timedelta(hours=1) == read_job(kept(JOBS, whole), []).created


def test_who_is_concerned_is_told() -> None:
    concern = record_of(JOBS, job("j", 3, "etl-1"))[1]
    assert [str(key) for key in concern.later] == ["FlowRun data/etl-1"]
