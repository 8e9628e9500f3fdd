"""Typed reads from a JSON object that may be hostile: every error names the field."""

from __future__ import annotations

from collections.abc import Mapping

from flow_fetcher.errors import InvalidPlanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_REMEDY = (
    "Correct the field in the FlowDeployment or FlowRun. If it does not set this field, "
    "the operator and the fetcher image are of different versions."
)
_LONGEST = 8192
_MOST = 1000


def invalid(field: str, problem: str) -> InvalidPlanError:
    """The error for a field that has a wrong value."""
    return InvalidPlanError(f"plan field {field}: {problem}", remedy=_REMEDY)


class Fields:
    """One JSON object and the path that leads to it.

    Args:
        value: What the JSON holds there.
        path: Where that is, for error messages; empty for the plan itself.

    Raises:
        InvalidPlanError: `value` is not an object.
    """

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise invalid(path or "(the plan)", f"must be an object, is {_kind(value)}")
        self._value = value
        self._path = path

    def name(self, key: str) -> str:
        """The path of a field, as error messages show it."""
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(key) is not None

    def text(self, key: str) -> str:
        """A string that must be there and not be empty."""
        value = self.optional_text(key)
        if not value:
            raise invalid(self.name(key), "is required")
        return value

    def optional_text(self, key: str, default: str = "") -> str:
        """A string without control characters, or the default where it is absent or null."""
        value = self._value.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise invalid(self.name(key), f"must be a string, is {_kind(value)}")
        if len(value) > _LONGEST:
            raise invalid(self.name(key), f"is longer than {_LONGEST} characters")
        if not value.isprintable():
            raise invalid(self.name(key), "has a control or other unprintable character")
        return value

    def flag(self, key: str) -> bool:
        """A boolean, false where it is absent."""
        value = self._value.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise invalid(self.name(key), f"must be true or false, is {_kind(value)}")
        return value

    def number(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        """An integer within bounds; without a default it must be there."""
        value = self._value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(self.name(key), f"must be an integer, is {_kind(value)}")
        if not low <= value <= high:
            raise invalid(self.name(key), f"must be between {low} and {high}")
        return value

    def texts(self, key: str) -> list[str]:
        """An array of strings, none of them empty; empty where it is absent."""
        values = self._value.get(key)
        if values is None:
            return []
        if not isinstance(values, list) or len(values) > _MOST:
            raise invalid(self.name(key), f"must be an array of at most {_MOST} strings")
        named = Fields({str(at): value for at, value in enumerate(values)}, self.name(key))
        return [named.text(str(at)) for at in range(len(values))]

    def mapping(self, key: str) -> dict[str, Any]:
        """An object of any content, empty where it is absent."""
        value = self._value.get(key)
        return {} if value is None else dict(Fields(value, self.name(key))._value)

    def fields(self, key: str) -> Fields:
        """An object within this one that must be there."""
        if not self.has(key):
            raise invalid(self.name(key), "is required")
        return Fields(self._value[key], self.name(key))

    def optional_fields(self, key: str) -> Fields:
        """An object within this one, empty where it is absent."""
        return self.fields(key) if self.has(key) else Fields({}, self.name(key))


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "an array"}
    names |= {dict: "an object", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
