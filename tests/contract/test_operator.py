"""The operator's side of the contract: it writes the fixtures' plans and reads their messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flow_operator.api.v1alpha1 import FlowRun, Reason
from flow_operator.core.messages import read_fetch
from flow_operator.core.plan import build_plan
from flow_operator.core.resolve import resolved

FIXTURES = Path(__file__).parent / "fixtures"
PLANS = [
    path for path in sorted((FIXTURES / "plans").glob("*.json")) if path.stem != "newer-fields"
]
MESSAGES = sorted((FIXTURES / "messages").glob("*.json"))


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def run_for(plan: dict[str, Any]) -> FlowRun:
    """The FlowRun whose attempt the plan is for."""
    source = {plan["source"]["type"]: dict(plan["source"][plan["source"]["type"]])}
    (body,) = source.values()
    if plan["secretName"]:
        body["secretRef"] = {"name": plan["secretName"]}
    snapshot = {
        "source": source,
        "parameters": plan["parameters"],
        "workingDirectory": plan.get("workingDirectory"),
        "entrypoint": plan["entrypoint"],
        "command": None if plan["entrypoint"] else ["sh", "job.sh"],
    }
    run = plan["run"]
    return FlowRun.model_validate(
        {
            "metadata": {key: run[key] for key in ("name", "namespace", "uid")},
            "spec": {"deploymentRef": {"name": run["deployment"]}},
            "status": {"resolvedSpec": snapshot, "revision": plan["revision"]},
        }
    )


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plan_is_what_the_operator_writes(path: Path) -> None:
    """Every plan of the fixtures follows from a FlowRun; null and absent mean the same."""
    plan = load(path)
    run = run_for(plan)
    attempt, containers = plan["run"]["attempt"], 12288 // plan["messageBudget"]
    written = build_plan(run, resolved(run), attempt=attempt, containers=containers)
    body = written["source"][written["source"]["type"]]
    assert "secretRef" not in json.dumps(written)
    assert body == plan["source"][plan["source"]["type"]]
    optional = {"workingDirectory": None}
    assert {**optional, **written} == {**optional, **plan}


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_message_is_understood(path: Path) -> None:
    """Reason, revision, words and duration of every message arrive."""
    message = load(path)
    report = read_fetch(path.read_text(), 0 if message["reason"] == "Succeeded" else 1)
    assert report.reason == Reason(message["reason"])
    assert report.seconds == message["seconds"]["total"]
    assert message["message"].rstrip(".") in report.message
    assert message["remedy"].rstrip(".") in report.message
    if message["revision"] and len(message["revision"]) in (40, 64, 71):
        assert report.revision == message["revision"]


def test_every_reason_of_the_fetcher_has_a_fixture() -> None:
    """A reason that nobody has seen in a message is no part of the contract."""
    from flow_operator.api.v1alpha1.conditions import FETCHER_REASONS

    assert {load(path)["reason"] for path in MESSAGES} - {"Succeeded"} == FETCHER_REASONS
