"""`validate` gives the same answers as the API server: the cases are those that it is asked too."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_operator.api.crd import KINDS
from flow_operator.api.schema import Schema, schema_of
from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun
from flow_operator.api.v1alpha1.flowdeployment import MAX_PARAMETERS_BYTES
from flow_operator.api.validate import validate
from tests.unit.api.cases import (
    CASES,
    EDITS,
    GIT,
    RUN,
    S3,
    Case,
    Edit,
    changed,
    generated_cases,
    places,
)

ALL = [*CASES, *generated_cases()]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_accepts_what_is_right_and_names_the_field_that_is_wrong(case: Case) -> None:
    """Every case is accepted, or refused with the field that is at fault."""
    problems = validate(case.kind, case.manifest)
    assert {problem.field for problem in problems} == ({case.refused} if case.refused else set())


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_checks_what_may_change(edit: Edit) -> None:
    """Every edit of a FlowRun is accepted, or refused with the field that may not change."""
    after = changed(edit.before, edit.changes)
    fields = {problem.field for problem in validate("FlowRun", after, old=edit.before)}
    assert fields == ({edit.refused} if edit.refused else set())


@pytest.mark.parametrize("case", [c for c in ALL if not c.refused], ids=lambda case: case.name)
def test_models_take_what_is_accepted(case: Case) -> None:
    """Whatever the API accepts, the operator can read."""
    model = {"FlowDeployment": FlowDeployment, "FlowRun": FlowRun}[case.kind]
    model.model_validate(case.manifest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)
PLACES = [
    (base, path)
    for base in (GIT, S3, RUN)
    for kind in KINDS
    if kind.name == base["kind"]
    for path, _, _ in places(schema_of(kind.model)["properties"]["spec"], base["spec"], "spec")
]


@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_is_accepted_can_be_read(place: tuple[dict[str, Any], str], value: Any) -> None:
    """Any JSON at any place gets an answer, and where that is yes the model takes it."""
    base, path = place
    manifest = changed(base, {path: value})
    if not validate(base["kind"], manifest):
        {"FlowDeployment": FlowDeployment, "FlowRun": FlowRun}[base["kind"]].model_validate(
            manifest
        )


def test_every_limit_has_a_case_that_is_refused_for_it() -> None:
    """No rule, pattern, enum or bound of the schema is without a case that breaks it."""
    broken = {
        (case.kind, re.sub(r"\[\d+\]", "[]", problem.field), problem.rule)
        for case in ALL
        for problem in validate(case.kind, case.manifest)
    } | {
        ("FlowRun", problem.field, problem.rule)
        for edit in EDITS
        for problem in validate("FlowRun", changed(edit.before, edit.changes), old=edit.before)
    }
    for kind in KINDS:
        spec = schema_of(kind.model)["properties"]["spec"]
        wanted = {(kind.name, field, rule) for field, rule in _limits(spec, "spec")}
        assert wanted - broken == set()


_KEYWORDS = (
    "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
)  # fmt: skip


def _limits(schema: Schema, path: str) -> set[tuple[str, str]]:
    found = {(path, keyword) for keyword in _KEYWORDS if keyword in schema}
    for rule in schema.get("x-kubernetes-validations", ()):
        found.add((path + rule.get("fieldPath", ""), rule["rule"]))
    found |= {(f"{path}.{name}", "required") for name in schema.get("required", ())}
    if schema.get("x-kubernetes-list-type"):
        found.add((f"{path}[]", "duplicate"))
    for name, inner in schema.get("properties", {}).items():
        found |= _limits(inner, f"{path}.{name}")
    if "items" in schema:
        found |= _limits(schema["items"], f"{path}[]")
    return found


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metadata.name": 7}, "metadata.name"),
        ({"metadata.name": "Upper"}, "metadata.name"),
        ({"metadata.name": "a" * 254}, "metadata.name"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": None}, "metadata.name"),
        ({"metadata": {"generateName": "Upper-"}}, "metadata.generateName"),
        ({"apiVersion": "v1"}, "apiVersion"),
        ({"kind": "FlowRun"}, "kind"),
        ({"spec": None}, "spec"),
        ({"spec": 7}, "spec"),
        ({"specs": {}}, "specs"),
    ],
)
def test_checks_the_object_around_the_spec(changes: dict[str, object], field: str) -> None:
    """The root is checked as the API server checks it."""
    assert [p.field for p in validate("FlowDeployment", changed(GIT, changes))] == [field]


def test_a_name_may_be_left_to_the_api_server() -> None:
    """`generateName` is as good as a name, and may end with what a name may not."""
    assert validate("FlowRun", changed(RUN, {"metadata": {"generateName": "nightly-"}})) == []


def test_parameters_have_a_size() -> None:
    """Parameters take at most 64 KiB of compact JSON in UTF-8; the message has their size."""
    room = MAX_PARAMETERS_BYTES - len('{"x":""}')
    assert validate("FlowRun", changed(RUN, {"spec.parameters": {"x": "a" * room}})) == []
    for value in ("a" * (room + 1), "ü" * (room // 2 + 1)):
        (problem,) = validate("FlowRun", changed(RUN, {"spec.parameters": {"x": value}}))
        assert problem.field == "spec.parameters"
        assert "65,53" in problem.message


def test_parameters_are_json() -> None:
    """What JSON cannot say is refused: YAML has dates, and numbers that are none."""
    (problem,) = validate("FlowRun", changed(RUN, {"spec.parameters": {"x": float("nan")}}))
    assert problem.field == "spec.parameters"


def test_the_message_repeats_no_credential() -> None:
    """A URL with a password is refused without printing the password again."""
    problems = validate(
        "FlowDeployment", changed(GIT, {"spec.source.git.url": "https://u:hunter2@h/x"})
    )
    assert [str(problem) for problem in problems] == [
        "spec.source.git.url: url must not contain credentials (user@ or user:password@): put "
        "them into a Secret and name it in secretRef"
    ]
