"""The termination message: one JSON object within its budget, the most important fields first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
_CUT = "…"
_SHORTENED = ("message", "remedy")
"""The fields that may be cut, in the order in which they are."""


def build_message(
    reason: str,
    *,
    revision: str | None = None,
    message: str = "",
    remedy: str = "",
    files: int = 0,
    size: int = 0,
    seconds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The fields of a message in the order of the contract."""
    return {
        "version": VERSION,
        "reason": reason,
        "revision": revision,
        "message": message,
        "remedy": remedy,
        "files": files,
        "bytes": size,
        "seconds": {stage: round(value, 3) for stage, value in (seconds or {}).items()},
    }


def encode_message(fields: Mapping[str, Any], budget: int) -> bytes:
    """The message as JSON of at most `budget` bytes of UTF-8.

    `message` is shortened first, then `remedy`; where even that is too long, fields are left out
    from the last to the first, so that the reason always arrives.
    """
    kept = {key: _printable(value) for key, value in fields.items()}
    for key in _SHORTENED:
        over = len(_encode(kept)) - budget
        if over > 0 and kept.get(key):
            kept[key] = _shorten(kept[key], len(_encode(kept[key])) - over)
    while len(encoded := _encode(kept)) > budget and len(kept) > 1:
        kept.popitem()
    return encoded if len(encoded) <= budget else b"{}"


def write_message(path: Path, encoded: bytes) -> None:
    """Put the message where the kubelet reads it: a mounted file, therefore written in place."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(encoded)


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode()


def _printable(value: Any) -> Any:
    """Text that UTF-8 can hold; names from a file system may not be."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _shorten(text: str, budget: int) -> str:
    """The longest beginning of `text` whose JSON takes at most `budget` bytes, with a mark."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encode(text[:middle] + _CUT)) <= budget:
            low = middle
        else:
            high = middle - 1
    return text[:low] + _CUT if low else ""
