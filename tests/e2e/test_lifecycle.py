"""The life of runs on a real cluster: on demand, cancelled, suspended, deleted, tidied away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.kube import Namespace, Object, condition, phase, wait_for
from tests.e2e.servers import TOKEN, Servers

CODE = """\
import asyncio
import os
import pathlib
import sys
import time

def quick(n: int = 1):
    return n

def patient():
    print("started", flush=True)
    try:
        time.sleep(300)
    finally:
        print("cleaned up", flush=True)

def environment():
    for place in (os.environ["HOME"], "/tmp", "/flow"):
        pathlib.Path(place, "written").write_text("x")
    try:
        pathlib.Path("/written").write_text("x")
    except OSError as error:
        print("read-only root:", error.strerror)
    return {"uid": os.getuid(), "python": sys.version_info[0], "cwd": os.getcwd()}
"""


@pytest.fixture(scope="module", autouse=True)
def repository(namespace: Namespace, servers: Servers) -> None:
    servers.put_repository("lifecycle", {"flow.py": CODE, "job.sh": "cat $FLOW_CONTEXT\n"})
    namespace.apply(namespace.secret("git-token", token=TOKEN, **{"ca.crt": servers.ca}))


@pytest.fixture(scope="module")
def source(servers: Servers) -> dict[str, Any]:
    token = {"name": "git-token"}
    url = servers.git_url("lifecycle")
    return {"git": {"url": url, "provider": "github", "secretRef": token}}


def test_on_demand_run_with_parameters(namespace: Namespace, source: dict[str, Any]) -> None:
    """A FlowRun overrides parameters by name; runOn: [] leaves the deployment to such runs."""
    namespace.apply(
        namespace.deployment(
            "on-demand", source=source, entrypoint="flow.py:quick", runOn=[], parameters={"n": 1}
        ),
        namespace.flow_run("by-hand", "on-demand", parameters={"n": 7}),
        namespace.flow_run("wrong", "on-demand", parameters={"m": 7}),
    )
    assert namespace.finished("by-hand")["status"]["result"] == 7
    wrong = condition(namespace.finished("wrong"), "Succeeded")
    assert wrong["reason"] == "InvalidParameters"
    assert {run["metadata"]["name"] for run in namespace.runs("on-demand")} == {"by-hand", "wrong"}


def test_command_and_restricted_environment(namespace: Namespace, source: dict[str, Any]) -> None:
    """Any command runs; root images run as a user without rights on a read-only root."""
    namespace.apply(
        namespace.deployment(
            "command", source=source, command=["sh", "job.sh"], parameters={"k": "v"}
        ),
        namespace.deployment("environment", source=source, entrypoint="flow.py:environment"),
    )
    run = namespace.finished_run("command")
    assert phase(run) == "Succeeded"
    (pod,) = namespace.pods_of(run)
    assert '"k"' in namespace.logs(pod, "flow")
    run = namespace.finished_run("environment")
    assert run["status"]["result"] == {"uid": 65532, "python": 3, "cwd": "/flow/src"}
    (pod,) = namespace.pods_of(run)
    assert "read-only root" in namespace.logs(pod, "flow")


def running(namespace: Namespace, deployment: str) -> Object:
    def look() -> Object | None:
        runs = namespace.runs(deployment)
        return runs[0] if runs and phase(runs[0]) == "Running" else None

    run: Object = wait_for(look, 60, f"{deployment} to run", namespace.explain)
    return run


def test_cancel_reaches_the_code(namespace: Namespace, source: dict[str, Any]) -> None:
    """cancel: true sends SIGTERM, `finally` blocks run, and the run ends Cancelled."""
    namespace.apply(namespace.deployment("cancelled", source=source, entrypoint="flow.py:patient"))
    run = running(namespace, "cancelled")
    (pod,) = namespace.pods_of(run)

    def started() -> bool | None:
        return "started" in namespace.logs(pod, "flow") or None

    wait_for(started, 20, "the code to start")
    name = run["metadata"]["name"]
    follow = namespace.follow_logs(pod, "flow")
    namespace.run("patch", "flowrun", name, "--type=merge", '-p={"spec":{"cancel":true}}')
    assert phase(namespace.finished(name)) == "Cancelled"
    assert "cleaned up" in follow()
    assert namespace.pods_of(run) == []


def test_suspend_holds_runs_and_resume_starts_them(
    namespace: Namespace, source: dict[str, Any]
) -> None:
    """A suspended deployment says so and runs nothing until it is resumed."""
    suspended = namespace.deployment(
        "suspended", source=source, entrypoint="flow.py:quick", suspend=True
    )
    namespace.apply(suspended)

    def ready() -> Object | None:
        return condition(namespace.get("flowdeployment", "suspended"), "Ready") or None

    assert wait_for(ready, 20, "Ready")["reason"] == "Suspended"
    assert namespace.runs("suspended") == []
    suspended["spec"]["suspend"] = False
    namespace.apply(suspended)
    assert phase(namespace.finished_run("suspended")) == "Succeeded"


def test_deleting_a_deployment_stops_its_pods(namespace: Namespace, source: dict[str, Any]) -> None:
    """Ownership alone cleans up: no finalizer, and nothing is left."""
    namespace.apply(namespace.deployment("deleted", source=source, entrypoint="flow.py:patient"))
    run = running(namespace, "deleted")
    assert "finalizers" not in run["metadata"]
    namespace.run("delete", "fd", "deleted", "--timeout=20s")

    def gone() -> bool | None:
        return (
            not (namespace.runs("deleted") or namespace.jobs_of(run) or namespace.pods_of(run))
            or None
        )

    wait_for(gone, 60, "runs, Jobs and Pods to be gone", namespace.explain)


def test_history_limit_keeps_the_newest(namespace: Namespace, source: dict[str, Any]) -> None:
    """There and back again are three runs, of which the limit keeps the newest one."""
    for parameters in ({"n": 1}, {"n": 2}, {"n": 1}):
        namespace.apply(
            namespace.deployment(
                "history",
                source=source,
                entrypoint="flow.py:quick",
                parameters=parameters,
                successfulRunsHistoryLimit=1,
            )
        )

        def caught_up() -> bool | None:
            deployment = namespace.get("flowdeployment", "history")
            status = deployment.get("status", {})
            observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
            return (observed and status.get("lastRun", {}).get("phase") == "Succeeded") or None

        wait_for(caught_up, 60, "the run to end", namespace.explain)

    def one_left() -> bool | None:
        return len(namespace.runs("history")) == 1 or None

    wait_for(one_left, 20, "old runs to be deleted", namespace.explain)
    assert namespace.get("flowdeployment", "history")["status"]["lastTrigger"]["sequence"] == 3


def test_deployments_have_no_finalizers_or_annotations_of_ours(namespace: Namespace) -> None:
    """The operator writes nothing on the user's objects but their status."""
    for deployment in namespace.list("flowdeployments"):
        metadata = deployment["metadata"]
        assert "finalizers" not in metadata
        assert set(metadata.get("annotations", {})) <= {
            "kubectl.kubernetes.io/last-applied-configuration"
        }
