"""From `kubectl apply` to the function's output, for each way the first run can go."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.kube import Namespace, Object, condition, phase, wait_for
from tests.e2e.servers import ACCESS_KEY, SECRET_KEY, TOKEN, Servers

FILES = {
    "etl/nightly.py": (
        "import os\n"
        "import helper\n"
        "async def main(day: str, limit: int = 10):\n"
        "    print(f'hello {helper.NAME} on {day}', os.getuid())\n"
        "    return {'day': day, 'limit': limit}\n"
        "def boom():\n"
        "    raise ValueError('this went wrong')\n"
    ),
    "etl/slow.py": "import time\ndef main():\n    print('started')\n    time.sleep(300)\n",
    "helper.py": "NAME = 'world'\n",
}
TREE = {f"pipelines/{path}": text for path, text in FILES.items()}
LATE_SECONDS = 30

Source = dict[str, Any]


@pytest.fixture(scope="module")
def commit(servers: Servers) -> str:
    return servers.put_repository("flows", TREE)


@pytest.fixture(scope="module")
def git(servers: Servers) -> Source:
    return {
        "url": servers.git_url("flows"),
        "ref": {"branch": "main"},
        "provider": "github",
        "secretRef": {"name": "git-token"},
    }


@pytest.fixture(scope="module", autouse=True)
def applied(namespace: Namespace, servers: Servers, git: Source, commit: str) -> float:
    """Apply every case at once: the cluster works on them side by side; returns when."""
    servers.put_objects("flows", "prod/", TREE)
    servers.put_objects("flows", "prod-sibling/", {"pipelines/evil.py": ""})
    ca = {"ca.crt": servers.ca}
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    wrong = {**git, "secretRef": {"name": "wrong-token"}}

    def flow(name: str, source: Source, entrypoint: str = "etl/nightly.py:main") -> Object:
        parameters = {"day": "2026-11-22"} if entrypoint.endswith("nightly.py:main") else {}
        return namespace.deployment(
            name,
            source=source,
            workingDirectory="pipelines",
            entrypoint=entrypoint,
            parameters=parameters,
        )

    s3 = {
        "bucket": "flows",
        "prefix": "prod",
        "endpoint": servers.s3_endpoint,
        "region": "us-east-1",
        "insecure": True,
        "secretRef": {"name": "s3-keys"},
    }
    namespace.apply(
        namespace.secret("git-token", token=TOKEN, **ca),
        namespace.secret("wrong-token", token="wrong%@+/token", **ca),
        namespace.secret("s3-keys", **keys),
        flow("late-secret", {"git": {**git, "secretRef": {"name": "late-token"}}}),
        flow("git", {"git": git}),
        flow("s3", {"s3": s3}),
        flow("wrong-token", {"git": wrong}),
        flow("missing-secret", {"git": {**git, "secretRef": {"name": "nobody"}}}),
        flow("missing-branch", {"git": {**git, "ref": {"branch": "mian"}}}),
        flow("missing-file", {"git": git}, "etl/nigthly.py:main"),
        flow("missing-function", {"git": git}, "etl/nightly.py:mian"),
        flow("raises", {"git": git}, "etl/nightly.py:boom"),
    )
    return time.monotonic()


def test_git_over_https_with_a_private_ca_and_a_token(namespace: Namespace, commit: str) -> None:
    """The run ends with the commit in its status, the function's result, and its output."""
    run = namespace.finished_run("git", 90)
    assert phase(run) == "Succeeded", condition(run, "Succeeded")
    status = run["status"]
    assert status["revision"] == commit
    assert status["result"] == {"day": "2026-11-22", "limit": 10}
    (pod,) = namespace.pods_of(run)
    assert namespace.logs(pod, "flow").splitlines()[-1] == "hello world on 2026-11-22 65532"
    (attempt,) = status["attempts"]
    assert attempt["podUID"] == pod["metadata"]["uid"]
    assert {"pending", "fetch", "run"} <= set(attempt["seconds"])
    fetch = namespace.logs(pod, "fetch")
    assert commit[:7] in fetch


def test_s3_prefix_with_keys(namespace: Namespace) -> None:
    """The objects below the prefix are the tree; the revision is a digest over them."""
    run = namespace.finished_run("s3", 90)
    assert phase(run) == "Succeeded", condition(run, "Succeeded")
    assert run["status"]["revision"].startswith("sha256:")


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("wrong-token", "AuthenticationFailed", "wrong-token"),
        ("missing-branch", "RevisionNotFound", "mian"),
        ("missing-file", "EntrypointNotFound", "nigthly.py"),
        ("missing-function", "EntrypointNotFound", "kubectl logs"),
        ("raises", "FlowFailed", "kubectl logs"),
    ],
)
def test_failure_says_why_within_30_seconds(
    namespace: Namespace, name: str, reason: str, words: str
) -> None:
    """Each failure has its own reason and a message with a remedy, on time, and no hanging Pod."""
    run = namespace.finished_run(name, 90)
    verdict = condition(run, "Succeeded")
    assert (verdict["status"], verdict["reason"]) == ("False", reason), verdict
    assert words in verdict["message"]
    (pod,) = namespace.pods_of(run)
    assert pod["status"]["phase"] == "Failed"
    assert seconds_after_scheduling(pod, run["status"]["completionTime"]) <= 30
    events = namespace.run(
        "get", "events", f"--field-selector=involvedObject.name={run['metadata']['name']}"
    )
    assert reason in events


def test_traceback_starts_at_the_users_code(namespace: Namespace) -> None:
    """The log of a raising function shows the user's frames alone."""
    run = namespace.finished_run("raises", 90)
    (pod,) = namespace.pods_of(run)
    log = namespace.logs(pod, "flow")
    assert "ValueError: this went wrong" in log
    assert "nightly.py" in log
    assert "runner.py" not in log


def test_missing_secret_is_told_within_30_seconds(namespace: Namespace) -> None:
    """SecretNotFound shows on the run while it waits, and the message names the Secret."""

    def look() -> Object | None:
        runs = namespace.runs("missing-secret")
        told = runs and condition(runs[0], "Succeeded").get("reason") == "SecretNotFound"
        return runs[0] if told else None

    run = wait_for(look, 60, "SecretNotFound", namespace.explain)
    assert phase(run) == "Pending"
    assert "nobody" in condition(run, "Succeeded")["message"]
    first = run["status"]["attempts"][0]
    pods = [p for p in namespace.pods_of(run) if p["metadata"]["uid"] == first["podUID"]]
    assert seconds_after_scheduling(pods[0], first["completionTime"]) <= 30
    assert all(pod["status"]["phase"] != "Pending" for pod in pods)


def test_late_secret_still_leads_to_success(
    namespace: Namespace, servers: Servers, applied: float
) -> None:
    """A Secret that comes half a minute after the deployment is enough."""
    time.sleep(max(0.0, applied + LATE_SECONDS - time.monotonic()))
    namespace.apply(namespace.secret("late-token", token=TOKEN, **{"ca.crt": servers.ca}))
    run = namespace.finished_run("late-secret", 90)
    assert phase(run) == "Succeeded"
    assert len(run["status"]["attempts"]) > 1
    assert run["status"]["attempts"][0]["reason"] == "SecretNotFound"


def test_second_apply_of_the_same_spec_runs_nothing(namespace: Namespace) -> None:
    """Applying again, or editing what changes no Pod, makes no second run."""
    namespace.finished_run("git", 90)
    before = namespace.get("flowdeployment", "git")
    again = {key: before[key] for key in ("apiVersion", "kind", "spec")}
    again["metadata"] = {key: before["metadata"][key] for key in ("name", "namespace")}
    again["spec"]["failedRunsHistoryLimit"] = 7
    namespace.apply(again)

    def observed() -> bool | None:
        now = namespace.get("flowdeployment", "git")
        return now["status"]["observedGeneration"] == now["metadata"]["generation"] or None

    wait_for(observed, 20, "the edit to be observed", namespace.explain)
    assert len(namespace.runs("git")) == 1


def test_what_kubectl_get_shows(namespace: Namespace, commit: str) -> None:
    """The columns tell a person what they want to know."""
    namespace.finished_run("git", 90)

    def settled() -> bool | None:
        deployment = namespace.get("flowdeployment", "git")
        return deployment["status"].get("lastRun", {}).get("phase") == "Succeeded" or None

    wait_for(settled, 20, "the deployment to know of its last run")
    header, row = namespace.run("get", "fd", "git").splitlines()
    assert header.split("  ")[0] == "NAME"
    names = ["NAME", "READY", "SOURCE", "ENTRYPOINT", "SCHEDULE", "LAST_RUN", "LAST_STATUS", "AGE"]
    assert [name.strip().replace(" ", "_") for name in header.split("  ") if name.strip()] == names
    assert "True" in row
    assert "Succeeded" in row
    header, *rows = namespace.run("get", "fr").splitlines()
    names = ["NAME", "DEPLOYMENT", "PHASE", "REVISION", "STARTED", "DURATION"]
    assert [name.strip() for name in header.split("  ") if name.strip()] == names
    assert any(commit in row for row in rows)


def seconds_after_scheduling(pod: Object, until: str) -> float:
    scheduled = next(c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled")
    since = datetime.fromisoformat(scheduled["lastTransitionTime"])
    return (datetime.fromisoformat(until) - since).total_seconds()
