"""Where the bench keeps what it makes: all of it in the cache, nothing in the work tree."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


class BenchError(Exception):
    """The bench cannot go on; the message says what failed."""


def cache() -> Path:
    """The folder for peers, generated data and scratch trees; `FLOW_CACHE` moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = os.environ.get("FLOW_CACHE") or f"{base}/flow-operator"
    path = Path(chosen).expanduser().resolve() / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def room() -> Path:
    """Where trees are fetched to, unless told otherwise: in memory, where there is such a place.

    A disk that others use at the same time tells more about them than about the clients.
    """
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else cache() / "work"


def once(kind: str, name: str, recipe: Iterable[bytes], make: Callable[[Path], None]) -> Path:
    """A folder of the cache that is made when its recipe is new, complete or not at all.

    Args:
        kind: The folder above it.
        name: What it is called, without the digest.
        recipe: Everything that decides about its content.
        make: Fills the new folder. It is told its final place, where nothing else lies.
    """
    digest = hashlib.sha256()
    for part in recipe:
        digest.update(b"%d:" % len(part) + part)
    folder = cache() / kind / f"{name}-{digest.hexdigest()[:12]}"
    done = folder / ".complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        done.touch()
        for old in folder.parent.glob(f"{name}-????????????"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
    return folder


def sources(folder: Path, *patterns: str) -> list[bytes]:
    """The files below a folder that match, as part of a recipe."""
    parts = []
    for file in sorted({file for pattern in patterns for file in folder.rglob(pattern)}):
        parts += [file.relative_to(folder).as_posix().encode(), file.read_bytes()]
    return parts
