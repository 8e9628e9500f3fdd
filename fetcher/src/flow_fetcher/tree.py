"""The one safe writer: whatever a source holds, files come to lie inside the tree or not at all.

The directory is new and nobody else writes there, so there is nothing to follow while files are
written: symbolic links are collected, checked as a whole and made last. A path is checked component
by component, a file is created and never opened again (`O_EXCL`, `O_NOFOLLOW`), and everything
counts against limits. Paths are bytes, as in git and in the kernel.
"""

from __future__ import annotations

import errno
import io
import os
from _thread import allocate_lock  # `threading` would take 2 ms to import
from collections.abc import Callable
from pathlib import Path

from flow_fetcher.errors import SourceRejectedError
from flow_fetcher.links import check_links
from flow_fetcher.log import human_size
from flow_fetcher.names import LONGEST_PATH, check_link, check_name, rejected
from flow_fetcher.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_COPY = 1 << 20
_TELLING = 32
"""Progress is told after so many files."""


class Limits(Record):
    """What a tree may take."""

    entries: int = 1_000_000
    size: int = 64 << 30
    depth: int = 256


DEFAULT_LIMITS = Limits()


class TreeWriter:
    """Writes one tree into a directory that it creates; safe to use from several threads.

    Args:
        root: The directory; it must not exist.
        limits: What the tree may take.
        progress: Told the number of files and bytes now and then.
    """

    def __init__(
        self,
        root: Path,
        limits: Limits = DEFAULT_LIMITS,
        progress: Callable[[int, int], None] = lambda files, size: None,
    ) -> None:
        root.mkdir(mode=0o755)
        self.root = root
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.limits = limits
        self._progress = progress
        self._lock = allocate_lock()
        self._directories = {b""}
        self._links: dict[bytes, bytes] = {}
        self._entries = 0
        self.files = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._root)

    def write(self, path: bytes, data: bytes, *, executable: bool = False) -> None:
        """Create a file with this content.

        Raises:
            SourceRejectedError: The path is unsafe or taken, or a limit is passed.
        """
        descriptor = self._create(path, executable, len(data))
        try:
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)
        if self.files % _TELLING == 0:
            self._progress(self.files, self.size)

    def create(self, path: bytes, *, executable: bool = False) -> FileSink:
        """Create a file whose content comes piece by piece.

        Raises:
            SourceRejectedError: The path is unsafe or taken, or a limit is passed.
        """
        return FileSink(self._create(path, executable), self._count_bytes)

    def adopt(self, path: bytes, staged: Path, *, executable: bool = False) -> None:
        """Move a complete file of the same volume into the tree.

        Raises:
            SourceRejectedError: The path is unsafe or taken, or a limit is passed.
        """
        # The name is reserved first, for a rename would replace what is there.
        os.close(self._create(path, executable, staged.stat().st_size))
        staged.chmod(0o755 if executable else 0o644)
        os.rename(staged, path, dst_dir_fd=self._root)
        self._progress(self.files, self.size)

    def copy(self, source: bytes, path: bytes, *, executable: bool = False) -> None:
        """Create a file with the content of another file of the tree.

        Raises:
            SourceRejectedError: The path is unsafe or taken, or a limit is passed.
        """
        with self.open(source) as original, self.create(path, executable=executable) as duplicate:
            while piece := os.read(original.fileno(), _COPY):
                duplicate.write(piece)

    def replace(self, path: bytes, staged: Path) -> None:
        """Put a complete file of the same volume in the place of one that this writer wrote.

        Raises:
            SourceRejectedError: A limit is passed.
        """
        old = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        self._count_bytes(staged.stat().st_size - old.st_size)
        staged.chmod(old.st_mode & 0o777)
        os.rename(staged, path, dst_dir_fd=self._root)

    def open(self, path: bytes) -> io.FileIO:
        """Read a file that this writer wrote."""
        return io.FileIO(
            os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root)
        )

    def symlink(self, path: bytes, target: bytes) -> None:
        """Note a symbolic link; `finish` checks and makes it.

        Raises:
            SourceRejectedError: The link is unsafe, its path is taken, or a limit is passed.
        """
        parent, name = self._enter(path)
        check_link(name, path, target)
        self._make_directory(parent)
        with self._lock:
            if path in self._links:
                raise _taken(path)
            self._count_entry()
            self._links[path] = target
            self.files += 1

    def directory(self, path: bytes) -> None:
        """Create a directory, and those above it, unless it is there.

        Raises:
            SourceRejectedError: The path is unsafe, taken by a file, or a limit is passed.
        """
        self._enter(path)
        self._make_directory(path)

    def finish(self) -> None:
        """Make the symbolic links: the tree is complete.

        Raises:
            SourceRejectedError: A link leads out of the tree, or its path is taken.
        """
        check_links(self._links)
        for path, target in self._links.items():
            try:
                os.symlink(target, path, dir_fd=self._root)
            except OSError as error:
                raise _explained(error, path) from error

    def _create(self, path: bytes, executable: bool, size: int = 0) -> int:
        parent, _ = self._enter(path)
        self._make_directory(parent)
        with self._lock:
            self._count_entry()
            self._count(size)
            self.files += 1
        try:
            return os.open(path, _CREATE, 0o755 if executable else 0o644, dir_fd=self._root)
        except OSError as error:
            raise _explained(error, path) from error

    def _enter(self, path: bytes) -> tuple[bytes, bytes]:
        """Check a path; its parent and name."""
        parent, _, name = path.rpartition(b"/")
        # An absolute path would have the kernel forget the directory that the tree lies in.
        if parent not in self._directories or path.startswith(b"/"):
            if path.count(b"/") > self.limits.depth:
                raise rejected(path, f"is deeper than {self.limits.depth} directories")
            for component in parent.split(b"/"):
                check_name(component, path)
        check_name(name, path)
        if len(path) > LONGEST_PATH:
            raise rejected(path, f"is longer than {LONGEST_PATH} bytes")
        return parent, name

    def _make_directory(self, path: bytes) -> None:
        if path in self._directories:
            return
        with self._lock:
            missing = []
            while path not in self._directories:
                missing.append(path)
                path = path.rpartition(b"/")[0]
            for each in reversed(missing):
                self._count_entry()
                try:
                    os.mkdir(each, 0o755, dir_fd=self._root)
                except OSError as error:
                    raise _explained(error, each) from error
                self._directories.add(each)

    def _count_entry(self) -> None:
        """Count a file or directory; the caller holds the lock."""
        self._entries += 1
        if self._entries > self.limits.entries:
            raise SourceRejectedError(
                f"the tree has more than {self.limits.entries} files and directories",
                remedy="Fetch a smaller repository or prefix.",
            )

    def _count_bytes(self, size: int) -> None:
        with self._lock:
            self._count(size)
        self._progress(self.files, self.size)

    def _count(self, size: int) -> None:
        """Count bytes; the caller holds the lock."""
        self.size += size
        if self.size > self.limits.size:
            raise SourceRejectedError(
                f"the tree is larger than {human_size(self.limits.size)}",
                remedy="Fetch a smaller repository or prefix.",
            )


class FileSink:
    """A file of the tree that is being written; closes at the end of its `with`."""

    def __init__(self, descriptor: int, count: Callable[[int], None]) -> None:
        self._descriptor = descriptor
        self._count = count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        """Append to the file."""
        self._count(len(data))
        _write_all(self._descriptor, data)

    def write_at(self, data: bytes, offset: int) -> None:
        """Write a piece at its place: pieces may come in any order, from several threads."""
        self._count(len(data))
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data) if data else 0
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def _explained(error: OSError, path: bytes) -> Exception:
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return _taken(path)
    if error.errno in (errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG):
        return rejected(path, f"cannot be written on this volume: {error.strerror}")
    return error


def _taken(path: bytes) -> SourceRejectedError:
    return rejected(path, "is there twice, or is both a file and a directory")
