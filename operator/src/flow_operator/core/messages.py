"""Termination messages, read with distrust: they may be missing, cut, foreign or forged."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from flow_operator.api.v1alpha1.conditions import FETCHER_REASONS, Reason
from flow_operator.core.conditions import shorten

MAX_RESULT_BYTES = 1024
MAX_TEXT = 1024

_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|sha256:[0-9a-f]{64}")
_HEAD_REASON = re.compile(r'"reason"\s*:\s*"([A-Za-z]{1,64})"')
_HEAD_REVISION = re.compile(r'"revision"\s*:\s*"([0-9a-z:]{1,80})"')


@dataclass(frozen=True, slots=True)
class FetchReport:
    """How a fetch ended.

    Attributes:
        reason: Succeeded, or why it failed.
        revision: What was fetched, if that is known.
        message: What failed and what can be done, in words; empty after a success.
        seconds: How long the fetch took, if it said so.
    """

    reason: Reason
    revision: str | None = None
    message: str = ""
    seconds: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the tree is there."""
        return self.reason is Reason.SUCCEEDED


def read_fetch(text: str | None, exit_code: int) -> FetchReport:
    """Return what the fetch container said; its exit code decides whether it succeeded."""
    fields = _object(text)
    if not fields and text:  # cut by the kubelet: the head has what matters most
        heads = {"reason": _HEAD_REASON.search(text), "revision": _HEAD_REVISION.search(text)}
        fields = {name: head.group(1) for name, head in heads.items() if head}
    revision_text = fields.get("revision")
    revision = (
        revision_text
        if isinstance(revision_text, str) and _REVISION.fullmatch(revision_text)
        else None
    )
    if exit_code == 0:
        return FetchReport(Reason.SUCCEEDED, revision, seconds=_seconds(fields, "total"))
    reason_text = fields.get("reason")
    reason = next((known for known in FETCHER_REASONS if known == reason_text), Reason.FETCH_FAILED)
    parts = [_text(fields, "message"), _text(fields, "remedy")]
    message = ". ".join(part.rstrip(". ") for part in parts if part)
    if not message:
        message = (
            f"The fetch container ended with exit code {exit_code} and left no readable message. "
            "Read its log: kubectl logs <pod> -c fetch"
        )
    return FetchReport(
        reason,
        revision,
        message,
        _seconds(fields, "total"),
    )


@dataclass(frozen=True, slots=True)
class FlowReport:
    """What the main container said. Only `result` is taken from it; None when there is none."""

    result: Any = None


def read_flow(text: str | None) -> FlowReport:
    """Return the result that the user's function reported, if it is one."""
    result = _object(text).get("result")
    if result is None:
        return FlowReport()
    try:
        encoded = json.dumps(result, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if len(encoded.encode()) > MAX_RESULT_BYTES:
            return FlowReport()
    except (ValueError, RecursionError):
        return FlowReport()
    return FlowReport(result)


def _object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    return shorten(value, MAX_TEXT) if isinstance(value, str) else ""


def _seconds(fields: dict[str, Any], key: str) -> float | None:
    seconds = fields.get("seconds")
    value = seconds.get(key) if isinstance(seconds, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(float(value), 3) if math.isfinite(value) and 0 <= value < 1e9 else None
