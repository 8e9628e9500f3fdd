"""Keeps one input for each way in which something fails: the smallest."""

from __future__ import annotations

import hashlib
import traceback
from pathlib import Path

SEPARATOR = "-"


def save(folder: Path, target: str, data: bytes, error: BaseException) -> Path:
    """Write the input down, unless a smaller one fails in the same way."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target}{SEPARATOR}{_where(error)}"
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        path.with_name(path.name + ".txt").write_text(
            "".join(traceback.format_exception(error)), errors="backslashreplace"
        )
    return path


def _where(error: BaseException) -> str:
    """A short name for the kind of error and the place it comes from."""
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    place = [(each.filename.rpartition("/")[2], each.name) for each in frames]
    text = f"{type(error).__name__} {place}"
    # Which promise was broken matters, and not at which path.
    text += str(error).split("'")[0].split(":")[0][:40]
    return f"{type(error).__name__.lower()}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
