"""The plan: what to fetch, read from JSON that is not trusted into values that are.

What a source needs is read by the source itself (`flow_fetcher.sources`), for the plan holds one
object for each kind of source.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from flow_fetcher.errors import InvalidPlanError
from flow_fetcher.fields import Fields, invalid
from flow_fetcher.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NEWEST_VERSION = 1
LARGEST_BUDGET = 4096
"""What the kubelet keeps of a termination message."""

_SMALLEST_BUDGET = 256
_LARGEST_PLAN = 1 << 20
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_FUNCTION = re.compile(r"[^\W\d]\w*")


class Entrypoint(Record):
    """A function in a file (`etl/nightly.py:main`) or in a module (`etl.nightly:main`)."""

    text: str
    file: str | None
    module: str | None


class Plan(Record):
    """One fetch, as the operator asked for it; `raw` is its JSON."""

    version: int
    run: dict[str, Any]
    source_type: str
    source: Fields
    revision: str | None
    secret_name: str | None
    working_directory: str
    entrypoint: Entrypoint | None
    parameters: dict[str, Any]
    message_budget: int
    raw: bytes

    @property
    def digest(self) -> str:
        """Tells this plan from every other."""
        import hashlib  # 3 ms, which the first request shall not wait for

        return "sha256:" + hashlib.sha256(self.raw).hexdigest()


def read_plan(path: Path) -> Plan:
    """Read the plan from its file.

    Raises:
        InvalidPlanError: It is not there, is no JSON, or a field has a wrong value.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_PLAN + 1)
    except OSError as error:
        raise InvalidPlanError(
            f"cannot read the plan {path}: {error.strerror}",
            remedy="The Pod must mount its annotation flow-operator.io/plan there.",
        ) from error
    return parse_plan(raw)


def parse_plan(raw: bytes) -> Plan:
    """Check a plan and turn it into values.

    Raises:
        InvalidPlanError: It is no JSON, or a field has a wrong value; the message names the field.
    """
    if len(raw) > _LARGEST_PLAN:
        raise invalid("(the plan)", f"is larger than {_LARGEST_PLAN} bytes")
    try:
        fields = Fields(json.loads(raw, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise invalid("(the plan)", f"is not JSON: {error}") from error
    version = fields.number("version", low=1, high=1 << 31)
    if version > NEWEST_VERSION:
        raise InvalidPlanError(
            f"plan field version: {version} is newer than this fetcher, it reads {NEWEST_VERSION}",
            remedy="Use the fetcher image that belongs to the operator's version.",
        )
    source = fields.fields("source")
    source_type = source.text("type")
    return Plan(
        version=version,
        run=fields.mapping("run"),
        source_type=source_type,
        source=source.optional_fields(source_type),
        revision=fields.optional_text("revision") or None,
        secret_name=fields.optional_text("secretName") or None,
        working_directory=_directory(fields, "workingDirectory"),
        entrypoint=_entrypoint(fields, "entrypoint"),
        parameters=fields.mapping("parameters"),
        message_budget=fields.number(
            "messageBudget", low=_SMALLEST_BUDGET, high=LARGEST_BUDGET, default=LARGEST_BUDGET
        ),
        raw=raw,
    )


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON value")


def _directory(fields: Fields, key: str) -> str:
    text = fields.optional_text(key)
    return _relative(fields.name(key), text) if text else ""


def _relative(field: str, text: str) -> str:
    """A path within the tree without `.` and double slashes, or an error."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise invalid(field, f"{text!r} must be a path inside the fetched tree")
    return "/".join(parts)


def _entrypoint(fields: Fields, key: str) -> Entrypoint | None:
    text = fields.optional_text(key)
    if not text:
        return None
    name = fields.name(key)
    target, colon, function = text.rpartition(":")
    if not colon or not _FUNCTION.fullmatch(function):
        raise invalid(name, f"{text!r} must be path/file.py:function or package.module:function")
    if target.endswith(".py"):
        return Entrypoint(text, file=_relative(name, target), module=None)
    if not _MODULE.fullmatch(target):
        raise invalid(name, f"{text!r} must name a .py file or a module before the colon")
    return Entrypoint(text, file=None, module=target)
