"""Rules that a schema cannot state: each one is CEL for the API server and Python for us.

The API server evaluates the CEL that the CRDs carry. `flow_operator.api.validate` calls the Python
beside it, so that a manifest is refused for the same reason where no API server is asked. One table
of cases holds both to the same answers.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule on the value of a field, or on how it may change.

    Args:
        cel: What the API server evaluates, with the value as `self`; a rule that mentions
            `oldSelf` is evaluated on updates only.
        message: Why a value is refused and what to do about it. It names the field.
        check: The same in Python, over the JSON value; it gets the old value too if the rule is
            on a change.
        field: The field that is at fault, below the value; empty is the value itself.
        forbidden: Whether the error reads as "Forbidden" and not as "Invalid value".
    """

    cel: str
    message: str
    check: Callable[..., bool]
    field: str = ""
    forbidden: bool = False

    @property
    def is_transition(self) -> bool:
        """Whether the rule is on a change, and not on a value."""
        return "oldSelf" in self.cel

    def to_schema(self) -> dict[str, str]:
        """Return the entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        if self.field:
            entry["fieldPath"] = f".{self.field}"
        if self.forbidden:
            entry["reason"] = "FieldValueForbidden"
        return entry


_KNOWN: dict[str, Rule] = {}


def rules(*given: Rule) -> dict[str, Any]:
    """Return the schema extension that holds these rules."""
    _KNOWN.update({rule.cel: rule for rule in given})
    return {"x-kubernetes-validations": [rule.to_schema() for rule in given]}


def find_rule(cel: str) -> Rule:
    """Return a rule with the CEL that is in a schema; fields may share one, each with its words."""
    return _KNOWN[cel]


def matches(pattern: str, value: str) -> bool:
    """Whether the pattern is in the value; `$` is the very end, as RE2 takes it."""
    return re.search(pattern.replace("$", r"\Z"), value) is not None


def matching(pattern: str, message: str) -> Rule:
    """Build the rule that a string matches a pattern of RE2's syntax."""
    return Rule(
        cel=f"self.matches(r'{pattern}')",
        message=message,
        check=lambda value: matches(pattern, value),
    )


def without(pattern: str, message: str, *, forbidden: bool = False) -> Rule:
    """Build the rule that a string nowhere matches a pattern of RE2's syntax."""
    return Rule(
        cel=f"!self.matches(r'{pattern}')",
        message=message,
        check=lambda value: not matches(pattern, value),
        forbidden=forbidden,
    )


def exactly_one(owner: str, *fields: str) -> Rule:
    """Build the rule that of these fields exactly one is set."""
    return Rule(
        cel=f"{_count(fields)} == 1",
        message=f"{owner} takes exactly one of {', '.join(fields)}",
        check=lambda value: sum(field in value for field in fields) == 1,
    )


def at_most_one(owner: str, *fields: str) -> Rule:
    """Build the rule that of these fields at most one is set."""
    return Rule(
        cel=f"{_count(fields)} <= 1",
        message=f"{owner} takes at most one of {', '.join(fields)}",
        check=lambda value: sum(field in value for field in fields) <= 1,
    )


def immutable(field: str, remedy: str) -> Rule:
    """Build the rule that a field of an object keeps its value, or its absence.

    `dyn` makes the fields visible whose schema is open: CEL declares no type for them, but
    compares their values deeply.
    """
    new, old = f"dyn(self).{field}", f"dyn(oldSelf).{field}"
    return Rule(
        cel=f"has({new}) == has({old}) && (!has({new}) || {new} == {old})",
        message=f"{field} cannot be changed: {remedy}",
        check=lambda value, before: _canonical(value, field) == _canonical(before, field),
        field=field,
        forbidden=True,
    )


def _count(fields: tuple[str, ...]) -> str:
    return f"[{', '.join(f'has(self.{field})' for field in fields)}].filter(x, x).size()"


def _canonical(value: dict[str, Any], field: str) -> str:
    """The field as text that is the same for values that the API server takes for equal."""
    found = value.get(field)
    if isinstance(found, list):
        found = sorted(found, key=lambda item: json.dumps(item, sort_keys=True))
    return json.dumps(found, sort_keys=True)
