"""Refuses what the API server refuses, where no API server is asked, and what no schema can state.

Reads the same structural schema that the CRDs carry, and calls the Python half of each rule.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flow_operator.api.crd import KINDS
from flow_operator.api.rules import find_rule, matches
from flow_operator.api.schema import Schema, schema_of
from flow_operator.api.v1alpha1 import API_VERSION
from flow_operator.api.v1alpha1.flowdeployment import MAX_PARAMETERS_BYTES
from flow_operator.api.v1alpha1.meta import DNS_SUBDOMAIN


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a manifest.

    Attributes:
        field: Path of the field that is at fault.
        message: What is wrong, and what to do about it.
        rule: What was broken: a keyword of the schema, or the CEL of a rule.
    """

    field: str
    message: str
    rule: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.field}: {self.message}"


def validate(
    kind: str, manifest: Mapping[str, Any], *, old: Mapping[str, Any] | None = None
) -> list[Problem]:
    """Return what is wrong with a manifest; an empty list says that it would be accepted.

    Args:
        kind: "FlowDeployment" or "FlowRun".
        manifest: The whole object, as JSON or YAML gives it. Its status is not looked at.
        old: The object as it was, for the rules on what may change.

    Raises:
        KeyError: There is no such kind.
    """
    model = {known.name: known.model for known in KINDS}[kind]
    check = _Check()
    check.root(kind, manifest)
    schema = schema_of(model)["properties"]["spec"]
    spec = manifest.get("spec")
    if spec is None:
        check.refuse("spec", "required", "is required")
        return check.problems
    spec = check.value(schema, spec, "spec", (old or {}).get("spec"))
    if isinstance(spec, dict) and isinstance(spec.get("parameters"), dict):
        check.problems += parameters_problems(spec["parameters"])
    return check.problems


def parameters_problems(
    parameters: Mapping[str, Any] | None, field: str = "spec.parameters"
) -> list[Problem]:
    """Return what is wrong with parameters beyond their schema: they are too large, or not JSON."""
    try:
        text = json.dumps(
            parameters or {}, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        return [Problem(field, f"cannot be written as JSON: {error}", "type")]
    if size <= MAX_PARAMETERS_BYTES:
        return []
    return [
        Problem(
            field,
            f"{size:,} bytes of JSON; at most {MAX_PARAMETERS_BYTES:,} are possible. Put large "
            "inputs into a bucket and pass their address",
            "maxBytes",
        )
    ]


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


@dataclass
class _Check:
    """Collects the problems of one manifest."""

    problems: list[Problem] = field(default_factory=list)

    def refuse(self, path: str, rule: str, message: str) -> None:
        self.problems.append(Problem(path, message, rule))

    def root(self, kind: str, manifest: Mapping[str, Any]) -> None:
        for name, wanted in (("apiVersion", API_VERSION), ("kind", kind)):
            if manifest.get(name) != wanted:
                self.refuse(name, "enum", f"must be {wanted}")
        for name in manifest:
            if name not in ("apiVersion", "kind", "metadata", "spec", "status"):
                self.refuse(name, "unknown", "unknown field")
        self._name(manifest.get("metadata"))

    def _name(self, metadata: Any) -> None:
        """Check the name; the API server may be left to make one from `generateName`."""
        metadata = metadata if isinstance(metadata, dict) else {}
        at = "metadata.name" if "name" in metadata else "metadata.generateName"
        name = metadata.get("name", metadata.get("generateName"))
        if name is None:
            self.refuse("metadata.name", "required", "is required")
        elif not isinstance(name, str):
            self.refuse(at, "type", "must be a string; quote it if YAML reads it otherwise")
        elif not matches(DNS_SUBDOMAIN, name + "x" * ("name" not in metadata)) or len(name) > 253:
            self.refuse(
                at,
                "pattern",
                "must be lower-case letters, digits, '-' and '.', begin and end with a letter or "
                "digit, and have at most 253 characters",
            )

    def value(self, schema: Schema, value: Any, path: str, old: Any = None) -> Any:
        """Check one value and all below it; return it without the nulls that stand for nothing."""
        before = len(self.problems)
        if schema.get("x-kubernetes-int-or-string"):
            self._int_or_string(schema, value, path)
        elif "type" in schema:
            value = self._typed(schema, value, path, old)
        if len(self.problems) == before:
            self._rules(schema, value, path, old)
        return value

    def _typed(self, schema: Schema, given: Any, path: str, old: Any) -> Any:
        value: Any = given
        kind: str = schema["type"]
        if kind == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)
        if not _is_a(kind, value):
            self.refuse(path, "type", f"must be of type {kind}, not {_type_name(value)}")
            return value
        if "enum" in schema and value not in schema["enum"]:
            self.refuse(
                path, "enum", f'unsupported value "{value}": use one of {_listed(schema["enum"])}'
            )
        if kind == "string":
            self._string(schema, value, path)
        elif kind in ("integer", "number"):
            self._number(schema, value, path)
        elif kind == "array":
            value = self._array(schema, value, path)
        elif kind == "object":
            value = self._object(schema, value, path, old)
        return value

    def _string(self, schema: Schema, value: str, path: str) -> None:
        if len(value) < schema.get("minLength", 0):
            self.refuse(path, "minLength", f"must have at least {schema['minLength']} characters")
        if len(value) > schema.get("maxLength", len(value)):
            self.refuse(path, "maxLength", f"must have at most {schema['maxLength']} characters")
        if "pattern" in schema and not matches(schema["pattern"], value):
            self.refuse(path, "pattern", f"must match {schema['pattern']}")

    def _number(self, schema: Schema, value: float, path: str) -> None:
        if value < schema.get("minimum", value):
            self.refuse(path, "minimum", f"must be at least {schema['minimum']}")
        if value > schema.get("maximum", value):
            self.refuse(path, "maximum", f"must be at most {schema['maximum']}")

    def _int_or_string(self, schema: Schema, value: Any, path: str) -> None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int | str) or isinstance(value, bool):
            self.refuse(
                path, "type", f"must be an integer or a string, not {_type_name(value)}: quote it"
            )
        elif isinstance(value, str):
            self._string(schema, value, path)

    def _array(self, schema: Schema, value: list[Any], path: str) -> list[Any]:
        if len(value) < schema.get("minItems", 0):
            self.refuse(path, "minItems", f"must have at least {schema['minItems']} items")
        if len(value) > schema.get("maxItems", len(value)):
            self.refuse(path, "maxItems", f"must have at most {schema['maxItems']} items")
        items = [
            self.value(schema["items"], item, f"{path}[{index}]")
            for index, item in enumerate(value)
        ]
        keys = schema.get("x-kubernetes-list-map-keys")
        unique = schema.get("x-kubernetes-list-type") in ("map", "set")
        seen = set()
        for index, item in enumerate(items if unique else ()):
            identity = item
            if keys and isinstance(item, dict):
                identity = {key: item.get(key) for key in keys}
            text = json.dumps(identity, sort_keys=True, default=str)
            if text in seen:
                self.refuse(f"{path}[{index}]", "duplicate", f"duplicate value {text}")
            seen.add(text)
        return items

    def _object(self, schema: Schema, value: dict[str, Any], path: str, old: Any) -> dict[str, Any]:
        properties = schema.get("properties", {})
        values = schema.get("additionalProperties")
        is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
        former = old if isinstance(old, dict) else {}
        kept = {}
        for name, item in value.items():
            inner = properties.get(name, values)
            if inner is None:
                if is_open:
                    kept[name] = item
                else:
                    self.refuse(f"{path}.{name}", "unknown", "unknown field")
            elif item is not None:
                kept[name] = self.value(inner, item, f"{path}.{name}", former.get(name))
            elif inner.get("nullable"):
                kept[name] = None
        for name in schema.get("required", ()):
            if name not in kept:
                self.refuse(f"{path}.{name}", "required", "is required")
        return kept

    def _rules(self, schema: Schema, value: Any, path: str, old: Any) -> None:
        for entry in schema.get("x-kubernetes-validations", ()):
            rule = find_rule(entry["rule"])
            if rule.is_transition and old is None:
                continue
            if not (rule.check(value, old) if rule.is_transition else rule.check(value)):
                self.refuse(path + entry.get("fieldPath", ""), rule.cel, entry["message"])


def _is_a(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _listed(values: list[Any]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
    }
    return names.get(type(value), type(value).__name__)
