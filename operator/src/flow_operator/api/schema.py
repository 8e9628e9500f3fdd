"""The structural schema of a kind: what a CustomResourceDefinition wants of our models.

The API server takes a strict subset of JSON Schema: no references, no titles, no null types, and
types where it can see them. Defaults are what the API server fills in, so only those are kept that
a spec states and that are not empty, and what a status as a whole says before it is written.
"""

from functools import cache
from typing import Any

from flow_operator.api.v1alpha1.meta import Model

Schema = dict[str, Any]

_RULES = "x-kubernetes-validations"

_ORDER = (
    "description",
    "type",
    "format",
    "nullable",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "anyOf",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-map-type",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    _RULES,
)
"""Every keyword that may appear, in the order in which a person reads a schema."""

_API_VERSION = (
    "Version of the schema of this object. Servers convert known schemas to the newest internal "
    "value and may refuse unknown ones."
)
_KIND = "Kind of this object, in CamelCase. It cannot be updated."


@cache
def schema_of(kind: type[Model]) -> Schema:
    """Return the structural schema of a kind, its root included. Not to be changed."""
    generated = kind.model_json_schema(by_alias=True)
    definitions = generated.pop("$defs", {})
    properties = generated["properties"]
    status = _structural(properties["status"], definitions, defaults=False)
    if "default" in properties["status"]:
        status = _ordered(status | {"default": properties["status"]["default"]})
    return _ordered(
        {
            "description": generated["description"],
            "type": "object",
            "required": [name for name in generated["required"] if name == "spec"],
            "properties": {
                "apiVersion": {"description": _API_VERSION, "type": "string"},
                "kind": {"description": _KIND, "type": "string"},
                "metadata": {"type": "object"},
                "spec": _structural(properties["spec"], definitions, defaults=True),
                "status": status,
            },
        }
    )


def _structural(given: Schema, definitions: Schema, *, defaults: bool) -> Schema:
    """Turn one schema, and all below it, into the structural form."""
    schema = _flat(given, definitions)
    if not defaults or schema.get("default") in (None, [], {}, ""):
        schema.pop("default", None)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if not isinstance(schema.get("additionalProperties"), dict):
        schema.pop("additionalProperties", None)
    for key in ("items", "additionalProperties"):
        if key in schema:
            schema[key] = _structural(schema[key], definitions, defaults=defaults)
    if "properties" in schema:
        schema["properties"] = {
            name: _structural(value, definitions, defaults=defaults)
            for name, value in schema["properties"].items()
        }
    return _ordered(schema)


def _flat(given: Schema, definitions: Schema) -> Schema:
    """Inline the reference of a schema and leave out its null; what stands beside them wins."""
    schema = {key: value for key, value in given.items() if key != "title"}
    if "$ref" in schema:
        definition = definitions[schema.pop("$ref").rpartition("/")[2]]
        return _flat(_joined(definition, schema), definitions)
    options = schema.get("anyOf", [])
    if {"type": "null"} in options:
        (option,) = (option for option in options if option != {"type": "null"})
        del schema["anyOf"]
        return _flat(_joined(option, schema), definitions)
    return schema


def _joined(inner: Schema, outer: Schema) -> Schema:
    joined = {**inner, **outer}
    if _RULES in inner and _RULES in outer:
        joined[_RULES] = [*inner[_RULES], *outer[_RULES]]
    return joined


def _ordered(schema: Schema) -> Schema:
    unknown = schema.keys() - set(_ORDER)
    if unknown:
        msg = f"a structural schema cannot say {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    ordered = {key: schema[key] for key in _ORDER if key in schema}
    if _RULES in ordered:
        ordered[_RULES] = [_ordered_rule(rule) for rule in ordered[_RULES]]
    return ordered


def _ordered_rule(rule: dict[str, str]) -> dict[str, str]:
    return {key: rule[key] for key in ("rule", "message", "fieldPath", "reason") if key in rule}
