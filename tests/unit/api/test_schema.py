"""The schema is structural, says what each field is, and has the models' own defaults."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from flow_operator.api.crd import KINDS, Kind
from flow_operator.api.rules import find_rule
from flow_operator.api.schema import Schema, schema_of
from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun
from flow_operator.api.v1alpha1.meta import Model, ObjectMeta

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def models(root: type[Model]) -> set[type[Model]]:
    """The models that a kind is made of; metadata is Kubernetes' own."""
    found: set[type[Model]] = set()
    waiting: list[Any] = [root]
    while waiting:
        kind = waiting.pop()
        waiting += getattr(kind, "__args__", ())
        if not isinstance(kind, type) or not issubclass(kind, Model):
            continue
        if kind not in found and kind is not ObjectMeta:
            found.add(kind)
            waiting += [field.annotation for field in kind.model_fields.values()]
    return found


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield f"{path}[]", schema[key]
            yield from fields(schema[key], f"{path}[]")


@pytest.mark.parametrize("root", [FlowDeployment, FlowRun])
def test_every_field_and_model_is_described(root: type[Model]) -> None:
    """Every field of every model says what it is: `kubectl explain` prints it."""
    for model in models(root):
        assert model.__doc__
        for name, field in model.model_fields.items():
            if name not in ("api_version", "kind", "metadata"):
                assert described(field), f"{model.__name__}.{name} has no description"


def described(field: FieldInfo) -> bool:
    return bool(field.description) and field.description.endswith((".", ")"))


@each_kind
def test_every_field_of_the_schema_is_described(kind: Kind) -> None:
    """So does every field of the CRD; the items of a list and the values of a map share theirs."""
    schema = schema_of(kind.model)
    assert schema["description"]
    for path, field in fields(schema):
        if not path.endswith("[]") and path != ".metadata":
            assert field.get("description"), f"{path} has no description"


@each_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    """No reference, no title, no null; a type wherever one is due."""
    for path, field in fields(schema_of(kind.model)):
        assert not field.keys() & {"$ref", "title", "allOf", "oneOf", "const"}, path
        open_type = (
            "x-kubernetes-int-or-string" in field or "x-kubernetes-preserve-unknown-fields" in field
        )
        assert "type" in field or open_type, path
        assert field.get("type") != "null", path
        if field.get("type") == "integer":
            assert field["format"] in ("int32", "int64"), path
        if field.get("type") == "array":
            assert "items" in field, path


@each_kind
def test_defaults_are_those_of_the_models(kind: Kind) -> None:
    """What the API server fills in is what the model assumes; a status has no defaults."""
    schema = schema_of(kind.model)
    spec = kind.model.model_fields["spec"].annotation
    assert spec is not None
    by_alias = {field.alias or name: field for name, field in spec.model_fields.items()}
    expected = {
        name: field.default
        for name, field in by_alias.items()
        if not field.is_required() and field.default is not None
    }
    properties = schema["properties"]["spec"]["properties"]
    found = {name: field["default"] for name, field in properties.items() if "default" in field}
    assert found == expected
    assert [
        path for path, field in fields(schema["properties"]["status"]) if "default" in field
    ] == []


@each_kind
def test_every_rule_has_its_python(kind: Kind) -> None:
    """Each CEL rule of the schema is found again, with its message."""
    rules = [
        rule
        for _, field in fields(schema_of(kind.model))
        for rule in field.get("x-kubernetes-validations", ())
    ]
    assert rules
    for rule in rules:
        assert find_rule(rule["rule"]).cel == rule["rule"]
        assert "\n" not in rule["message"]


@each_kind
def test_what_rules_look_at_is_bounded(kind: Kind) -> None:
    """CEL's cost is estimated from bounds: strings and lists of a spec have them."""
    for path, field in fields(schema_of(kind.model)["properties"]["spec"]):
        if field.get("type") == "array":
            assert "maxItems" in field or field.get("x-kubernetes-list-type") == "set", path
        if field.get("type") == "string" and "x-kubernetes-validations" in field:
            assert "maxLength" in field, path


def test_unknown_keywords_are_an_error() -> None:
    """A keyword that a structural schema cannot have does not slip into a CRD."""

    class Spec(Model):
        """A spec with a keyword that CRDs do not have."""

        amount: int = Field(description="A multiple.", multiple_of=3)

    class Odd(Model):
        """A kind with such a spec."""

        spec: Spec = Field(description="The spec.")
        status: Spec = Field(description="The status.")

    with pytest.raises(ValueError, match="multipleOf"):
        schema_of(Odd)
