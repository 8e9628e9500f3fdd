"""The fetcher's side of the contract: it reads every plan and writes every message of the fixtures.

The fixtures bind the operator and the fetcher, which share no code; the operator has its own test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher import errors
from flow_fetcher.message import build_message, encode_message
from flow_fetcher.plan import parse_plan
from flow_fetcher.publish import context
from flow_fetcher.sources import open_source

FIXTURES = Path(__file__).parent / "fixtures"
PLANS = sorted((FIXTURES / "plans").glob("*.json"))
MESSAGES = sorted((FIXTURES / "messages").glob("*.json"))
CONTRACT = Path(__file__).parents[2] / "docs" / "contracts.md"


def load(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes())
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plan_is_accepted(path: Path) -> None:
    """Every plan of the fixtures is read in full, its source included."""
    written = load(path)
    plan = parse_plan(path.read_bytes())
    open_source(plan)
    assert plan.run == written["run"]
    assert plan.source_type == written["source"]["type"]
    assert plan.revision == written["revision"]
    assert plan.secret_name == written["secretName"]
    assert plan.working_directory == written.get("workingDirectory", "")
    assert (plan.entrypoint.text if plan.entrypoint else None) == written["entrypoint"]
    assert plan.parameters == written["parameters"]
    assert plan.message_budget == written["messageBudget"]


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_message_is_what_the_fetcher_writes(path: Path) -> None:
    """Every message of the fixtures is, byte for byte, what the fetcher makes of its content."""
    fields = load(path)
    built = build_message(
        fields["reason"],
        revision=fields["revision"],
        message=fields["message"],
        remedy=fields["remedy"],
        files=fields["files"],
        size=fields["bytes"],
        seconds=fields["seconds"],
    )
    assert encode_message(built, 4096) + b"\n" == path.read_bytes()


def test_every_reason_has_a_fixture_and_is_in_the_contract() -> None:
    """The reasons of the code, of the fixtures and of the document are the same."""
    classes = [errors.FetchError, *errors.FetchError.__subclasses__()]
    known = {each.reason for each in classes if each.__module__ == errors.__name__} | {"Succeeded"}
    assert known == {load(path)["reason"] for path in MESSAGES}
    text = CONTRACT.read_text()
    assert [reason for reason in sorted(known) if f"`{reason}`" not in text] == []


def test_context() -> None:
    """What the runner reads is the plan's part of it, and the revision."""
    written = load(FIXTURES / "contexts" / "git-branch.json")
    plan = parse_plan((FIXTURES / "plans" / "git-branch.json").read_bytes())
    assert context(plan, written["revision"]) == written


def test_plan_of_a_newer_version_is_refused_in_words() -> None:
    """A fetcher that is older than the operator says so instead of guessing."""
    newer = {**load(PLANS[0]), "version": 2}
    with pytest.raises(errors.InvalidPlanError, match="newer than this fetcher") as caught:
        parse_plan(json.dumps(newer).encode())
    assert "fetcher image" in caught.value.remedy
