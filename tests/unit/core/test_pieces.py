"""The small laws that the decisions rest on: hashes, names, budgets, messages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_operator.api.v1alpha1 import FlowDeploymentSpec, FlowRun, Reason
from flow_operator.core import names
from flow_operator.core.durations import human_duration
from flow_operator.core.job import build_job
from flow_operator.core.messages import read_fetch, read_flow
from flow_operator.core.plan import message_budget
from flow_operator.core.settings import Settings
from flow_operator.core.spechash import spec_hash
from tests.unit.core.world import COMMIT, deployment, flow_run

BASE = deployment()["spec"]


def hash_of(**changes: Any) -> str:
    return spec_hash(FlowDeploymentSpec.model_validate({**BASE, **changes}))


@pytest.mark.parametrize(
    "change",
    [
        {"entrypoint": "etl.py:other"},
        {"parameters": {"a": None}},
        {"image": "python:3.12"},
        {"env": [{"name": "A", "value": ""}]},
        {"workingDirectory": "x"},
        {"serviceAccountName": "x"},
        {"resources": {"limits": {"cpu": 1}}},
        {"fetch": {"resources": {"limits": {"cpu": 1}}}},
        {"source": {"git": {"url": "https://git.example/flows.git", "ref": {"tag": "v1"}}}},
    ],
)
def test_hash_covers_what_changes_the_pod(change: dict[str, Any]) -> None:
    """Every field that the Pod depends on is part of the hash."""
    assert hash_of(**change) != hash_of()


def test_hash_leaves_out_what_does_not() -> None:
    """Fields about when, how long and how many are not; nor is the order of keys."""
    same = {"suspend": True, "runOn": [], "failedRunsHistoryLimit": 0, "pendingDeadlineSeconds": 9}
    assert hash_of(**same) == hash_of()
    assert hash_of(parameters={"a": 1, "b": 2}) == hash_of(parameters={"b": 2, "a": 1})


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=253), st.integers(1))
def test_names_are_dns_labels(name: str, attempt: int) -> None:
    """Whatever an object is called, what is made for it has a valid name of its own."""
    attempt %= 10**9
    for made in (
        names.job_name(name, "uid", attempt),
        names.spec_change_run_name(name, "uid", "hash", attempt),
        names.event_name("uid", name),
    ):
        assert len(made) <= 63
        assert all(part for part in made.split("-") if part)
        assert made[0].isalnum()
        assert made[-1].isalnum()
        assert made == made.lower()
        assert "." not in made


def test_parts_of_a_digest_are_kept_apart() -> None:
    """("ab", "c") and ("a", "bc") are different things."""
    assert names.digest("ab", "c") != names.digest("a", "bc")


@pytest.mark.parametrize(("containers", "bytes_"), [(1, 4096), (2, 4096), (3, 4096), (4, 3072)])
def test_message_budget_is_the_kubelets(containers: int, bytes_: int) -> None:
    """At most 4096 bytes a container and 12288 a Pod."""
    assert message_budget(containers) == bytes_


def cut(text: str, keep: int) -> str:
    return text.encode()[:keep].decode(errors="ignore")


@given(st.text(max_size=5000), st.integers(0, 255))
def test_any_message_can_be_read(text: str, code: int) -> None:
    """A message is hostile until it is understood; reading it never fails."""
    report = read_fetch(text, code)
    assert report.succeeded == (code == 0)
    assert len(report.message) <= 4096
    read_flow(text)


def test_cut_message_still_gives_reason_and_revision() -> None:
    """The most important fields come first, and survive when the kubelet cuts the rest."""
    whole = json.dumps(
        {"version": 1, "reason": "PathNotFound", "revision": COMMIT, "message": "x" * 5000}
    )
    report = read_fetch(cut(whole, 4096), 1)
    assert (report.reason, report.revision) == (Reason.PATH_NOT_FOUND, COMMIT)


@pytest.mark.parametrize("revision", ["main", "", "g" * 40, "$(rm)", 7, None])
def test_revision_must_look_like_one(revision: Any) -> None:
    """What is no commit or digest does not reach the status."""
    text = json.dumps({"version": 1, "reason": "Succeeded", "revision": revision})
    assert read_fetch(text, 0).revision is None


@pytest.mark.parametrize("result", ["x" * 2000, float("nan"), [1] * 2000])
def test_result_has_its_limit(result: Any) -> None:
    """A result that is too large, or no JSON, is left out."""
    assert read_flow(json.dumps({"result": result})).result is None


def test_dollar_signs_and_text_survive_the_plan() -> None:
    """Parameters reach the fetcher as they are: an annotation is not expanded by the kubelet."""
    run = flow_run()
    snapshot = {**BASE, "parameters": {"a": "$(HOME) $$ ü 'x'"}}
    run["status"] = {"resolvedSpec": snapshot}
    job = build_job(FlowRun.model_validate(run), 1, Settings())
    plan = job["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_PLAN]
    assert json.loads(plan)["parameters"] == snapshot["parameters"]


def test_credentials_reach_the_fetch_container_alone() -> None:
    """The Secret is mounted into the init container, optional, and nowhere else."""
    run = flow_run()
    git = {"url": "https://git.example/x.git", "secretRef": {"name": "token"}}
    run["status"] = {"resolvedSpec": {**BASE, "source": {"git": git}}}
    pod = build_job(FlowRun.model_validate(run), 1, Settings())["spec"]["template"]["spec"]
    (secret,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert secret["secret"]["optional"] is True
    (fetch,), (flow,) = pod["initContainers"], pod["containers"]
    assert secret["name"] in [mount["name"] for mount in fetch["volumeMounts"]]
    assert secret["name"] not in [mount["name"] for mount in flow["volumeMounts"]]
    assert "token" not in json.dumps([fetch["env"], fetch["args"], flow])


def fetch_container(**changes: Any) -> dict[str, Any]:
    """The init container of a run, for a deployment with these fields."""
    run = flow_run()
    run["status"] = {"resolvedSpec": {**BASE, **changes}}
    pod = build_job(FlowRun.model_validate(run), 1, Settings())["spec"]["template"]["spec"]
    (container,) = pod["initContainers"]
    assert isinstance(container, dict)
    return container


def test_fsspec_needs_the_full_image() -> None:
    """Only the source fsspec pays for the packages of its clouds."""
    assert fetch_container()["image"] == "flow-fetcher:dev"
    assert fetch_container(source={"gcs": {"bucket": "b12"}})["image"] == "flow-fetcher:dev"
    full = fetch_container(source={"fsspec": {"url": "gs://b/x"}})
    assert full["image"] == "flow-fetcher-full:dev"


def test_a_deployment_chooses_the_resources_of_its_fetch() -> None:
    """They stand in place of the operator's default, as a whole."""
    assert fetch_container()["resources"] == Settings().fetch_resources
    assert fetch_container(fetch={})["resources"] == Settings().fetch_resources
    chosen = {"limits": {"memory": "48Mi"}}
    assert fetch_container(fetch={"resources": chosen})["resources"] == chosen


def test_openshift_assigns_the_ids() -> None:
    """With setIDs off the Pod names no user, and still must not be root."""
    run = flow_run()
    run["status"] = {"resolvedSpec": BASE}
    job = build_job(FlowRun.model_validate(run), 1, Settings(set_ids=False))
    context = job["spec"]["template"]["spec"]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-3, "0s"), (59.9, "59s"), (72, "1m12s"), (3600, "1h0m"), (90061, "25h1m")],
)
def test_durations_read_like_kubectl(seconds: float, text: str) -> None:
    """Durations are short and for people."""
    assert human_duration(seconds) == text
