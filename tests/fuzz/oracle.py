"""What must hold whatever the input was: no escape, no `.git`, no strange file, no strange error.

Nothing here uses the fetcher's own checks: a check that is broken there must not be broken here.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import resource
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flow_fetcher.errors import FetchError
from flow_fetcher.message import build_message, encode_message

_HOPS = 40
"""How many links the kernel follows."""

_CANARY = b"untouched"
_MOST_MEMORY = 160 << 20
_HFS_IGNORES = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_REASON = re.compile(r"[A-Z][A-Za-z]+")


class Violation(Exception):  # noqa: N818  it is a finding, not an error of the harness
    """The fetcher broke a promise."""


@dataclass(frozen=True)
class Room:
    """A place for one tree: `root` does not exist yet, `scratch` is empty."""

    root: Path
    scratch: Path


@contextmanager
def room(most_scratch: int = 64 << 20) -> Iterator[Room]:
    """A place for one tree; afterwards nothing may have been written around it.

    Args:
        most_scratch: How many bytes may be left in `scratch`.
    """
    base = _base()
    inner = base / "a" / "b" / "c"
    os.mkdir(inner / "scratch")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _guard(os.fsencode(base))
    try:
        yield Room(inner / "src", inner / "scratch")
        _guard(None)
        _nothing_around(base)
        _bounded(inner / "scratch", before, most_scratch)
    except Violation:
        _guard(None)
        _base.cache_clear()
        raise
    finally:
        _guard(None)
        _remove(os.fspath(inner / "scratch"))
        _remove(os.fspath(inner / "src"))


@functools.cache
def _base() -> Path:
    """A folder of this process, with a canary at each step down to where trees are written."""
    place = Path(_memory() or tempfile.gettempdir())
    for old in place.glob("fuzz-*-*"):
        # libFuzzer ends its process without leave to clean up.
        if not Path("/proc", old.name.split("-")[1]).exists():
            shutil.rmtree(old, ignore_errors=True)
    base = Path(tempfile.mkdtemp(prefix=f"fuzz-{os.getpid()}-", dir=place))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    inner = base / "a" / "b" / "c"
    inner.mkdir(parents=True)
    for folder in (base, base / "a", base / "a" / "b", inner):
        (folder / "canary").write_bytes(_CANARY)
    return base


def _remove(path: str) -> None:
    """Remove a folder; much faster than `shutil.rmtree`, which is made for strange places."""
    try:
        found = list(os.scandir(path))
    except OSError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            _remove(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(path)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


_CHANGES = os.O_CREAT | os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_guarded: list[bytes | None] = []
"""The one folder that may be written to at this moment, or None for all; empty before first use."""


def _guard(base: bytes | None) -> None:
    """Stop whatever would be written elsewhere, before it happens to this machine."""
    if not _guarded:
        _guarded.append(None)
        sys.addaudithook(_audit)
    _guarded[0] = base


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    base = _guarded[0]
    if base is None:
        return
    if event == "open":
        changes = isinstance(arguments[2], int) and arguments[2] & _CHANGES
        paths = arguments[:1] if changes else ()
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"):
        paths = arguments[:1]
    elif event in ("os.rename", "os.link"):
        paths = arguments[:2]
    elif event == "os.symlink":
        paths = arguments[1:2]
    else:
        return
    for path in paths:
        if isinstance(path, int):
            continue
        raw = os.fsencode(path)  # type: ignore[arg-type]
        inside = raw.startswith(base + b"/") if raw.startswith(b"/") else True
        if not inside or b".." in raw.split(b"/"):
            raise Violation(f"{event} outside the tree: {raw!r}")


def _nothing_around(base: Path) -> None:
    allowed = {"canary"}
    for folder, inside in (
        (base, {"a"}),
        (base / "a", {"b"}),
        (base / "a" / "b", {"c"}),
        (base / "a" / "b" / "c", {"src", "scratch"}),
    ):
        found = set(os.listdir(folder))
        if extra := found - inside - allowed:
            raise Violation(f"written outside the tree: {sorted(extra)}")
        if "canary" not in found or (folder / "canary").stat().st_size != len(_CANARY):
            raise Violation("a file outside the tree was changed")


def _bounded(scratch: Path, before: int, most_scratch: int) -> None:
    used = sum(entry.stat().st_size for entry in os.scandir(scratch) if entry.is_file())
    if used > most_scratch:
        raise Violation(f"left {used} bytes of scratch")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > _MOST_MEMORY >> 10:
        raise Violation(f"took {grown >> 10} MiB of memory more than before")


def listed(root: Path, *, refused: bool = False) -> dict[bytes, tuple[str, bytes]]:
    """Path → kind (`file`, `executable`, `link`, `directory`) and content; everything is judged.

    Args:
        root: The tree.
        refused: Whether it is left over from a fetch that failed: nobody will follow its links.

    Raises:
        Violation: Something is there that must never be.
    """
    top = os.path.realpath(os.fsencode(root))
    if os.fsencode(root) != top or not os.path.isdir(top):
        raise Violation("the root of the tree is not a directory of its own")
    found: dict[bytes, tuple[str, bytes]] = {}
    todo = [b""]
    while todo:
        parent = todo.pop()
        for entry in os.scandir(os.path.join(top, parent)):
            path = parent + b"/" + entry.name if parent else entry.name
            if is_dot_git(entry.name):
                raise Violation(f"{path!r} is .git in some file system")
            found[path] = _judged(entry, path, top, refused)
            if found[path][0] == "directory":
                todo.append(path)
    return found


def _judged(entry: os.DirEntry[bytes], path: bytes, top: bytes, refused: bool) -> tuple[str, bytes]:
    status = entry.stat(follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        leads = None if refused else _leads(entry.path)
        if leads is not None and leads != top and not leads.startswith(top + b"/"):
            raise Violation(f"link {path!r} leads out of the tree, to {leads!r}")
        return "link", os.readlink(entry.path)
    if stat.S_ISDIR(status.st_mode):
        if mode != 0o755:
            raise Violation(f"directory {path!r} has mode {mode:o}")
        return "directory", b""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or mode not in (0o644, 0o755):
        raise Violation(f"{path!r} is no plain file: {status.st_mode:o}, {status.st_nlink} links")
    with open(entry.path, "rb") as file:
        return "executable" if mode == 0o755 else "file", file.read()


def _leads(link: bytes) -> bytes | None:
    """Where the kernel ends up that follows a link, or would if all on the way were there; None for
    nowhere."""
    here, todo, hops = b"/", link.split(b"/")[::-1], 0
    while todo:
        name = todo.pop()
        if name == b"..":
            here = os.path.dirname(here)
        elif name not in (b"", b"."):
            step = os.path.join(here, name)
            try:
                target = os.readlink(step)
            except OSError:  # no link, or nothing
                here = step
                continue
            hops += 1
            if hops > _HOPS:
                return None
            here = b"/" if target.startswith(b"/") else here
            todo += target.split(b"/")[::-1]
    return here


def is_dot_git(name: bytes) -> bool:
    """Whether HFS+ or NTFS takes this name for `.git`."""
    folded = _HFS_IGNORES.sub("", name.decode("utf-8", "surrogateescape")).lower()
    short = re.split(rb"[:\\]", name.lower())[0].rstrip(b" .")
    return folded == ".git" or short in (b".git", b"git~1")


_judged_errors: set[tuple[str, str]] = set()


def judge_error(error: FetchError) -> None:
    """An error must say something, and fit into a termination message.

    Raises:
        Violation: It does not.
    """
    if not error.message or not _REASON.fullmatch(error.reason):
        raise Violation(f"an error without words or reason: {error!r}")
    if (error.message, error.remedy) in _judged_errors:
        return
    if len(_judged_errors) < 10_000:
        _judged_errors.add((error.message, error.remedy))
    for budget in (256, 1365, 4096):
        fields = build_message(error.reason, message=error.message, remedy=error.remedy)
        encoded = encode_message(fields, budget)
        if len(encoded) > budget or json.loads(encoded).get("reason") != error.reason:
            raise Violation(f"the termination message does not fit {budget} bytes")
