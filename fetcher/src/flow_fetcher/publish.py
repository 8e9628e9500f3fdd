"""Makes a fetch atomic: filled beside its place, moved there by one rename, marked last.

Whatever ends the process, the next start finds either a valid marker, and does nothing, or none,
and begins anew. Nothing on the volume is trusted: an earlier main container may have written there.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_fetcher.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST_MARKER = 16384
_STAGING = ".fetching"


class Volume:
    """The run's volume, laid out as the contract says.

    Args:
        root: Where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / _STAGING
        self._source = root / "src"
        self._run = root / "run"
        self._marker = self._run / "fetched.json"

    def published(self, plan: Plan) -> dict[str, Any] | None:
        """The message of the fetch that filled this volume for the same plan, if one did."""
        marker = _read_marker(self._marker)
        if marker is None or marker.get("planDigest") != plan.digest:
            return None
        message = marker.get("message")
        if not isinstance(message, dict) or message.get("reason") != "Succeeded":
            return None
        delivered = [self._run / "runner.py", self._run / "context.json"]
        complete = _is_directory(self._source) and all(map(_is_file, delivered))
        return message if complete else None

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty directory on the volume; gone afterwards, with all that was not published."""
        _remove(self._staging)
        self._staging.mkdir(mode=0o700, parents=True)
        try:
            yield self._staging
        finally:
            # What cannot be removed now is removed by the next start.
            with contextlib.suppress(OSError):
                for child in list(self._staging.iterdir()):
                    _remove(child)
                _remove(self._staging)

    def publish(self, tree: Path, plan: Plan, revision: str, message: dict[str, Any]) -> None:
        """Put a complete tree in its place, with everything that the main container needs.

        Args:
            tree: The tree, within the staging directory.
            plan: What was asked for.
            revision: What was fetched.
            message: The message of this fetch, for a second start of this container.
        """
        _remove(self._marker)
        if not _is_directory(self._run):
            _remove(self._run)
            self._run.mkdir(mode=0o755)
        if os.path.lexists(self._source):
            os.rename(self._source, self._staging / "replaced")
        os.rename(tree, self._source)
        _replace(self._run / "runner.py", runner())
        _replace(self._run / "context.json", _json(context(plan, revision)))
        self._make_home()
        _replace(self._marker, _json({"planDigest": plan.digest, "message": message}))

    def _make_home(self) -> None:
        """HOME of the main container, which may run as another user than this one."""
        home = self._root / "home"
        if not _is_directory(home):
            _remove(home)
            home.mkdir()
        with contextlib.suppress(PermissionError):
            home.chmod(0o777)


def context(plan: Plan, revision: str) -> dict[str, Any]:
    """What the runner reads: `context.json` of the contract."""
    return {
        "version": 1,
        "run": plan.run,
        "revision": revision,
        "workingDirectory": plan.working_directory,
        "entrypoint": plan.entrypoint.text if plan.entrypoint else None,
        "parameters": plan.parameters,
        "messageBudget": plan.message_budget,
    }


def runner() -> bytes:
    """The runner: one file of this package that the main container executes."""
    return Path(__file__).with_name("runner.py").read_bytes()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there in full or not at all."""
    unfinished = path.with_name(f".{path.name}.new")
    _remove(unfinished)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(unfinished, flags, 0o644), "wb") as file:
        file.write(content)
    if _is_directory(path):
        _remove(path)
    os.rename(unfinished, path)


def _read_marker(path: Path) -> dict[str, Any] | None:
    try:
        # Non-blocking, for someone may have left a pipe there.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            marker = json.loads(file.read(_LARGEST_MARKER))
    except (OSError, ValueError, RecursionError):
        return None
    return marker if isinstance(marker, dict) else None


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _remove(path: Path) -> None:
    if not _is_directory(path):
        path.unlink(missing_ok=True)
        return
    try:
        path.rmdir()
    except OSError:
        import shutil  # only a directory with content needs it: half-fetched, or replaced

        shutil.rmtree(path)
