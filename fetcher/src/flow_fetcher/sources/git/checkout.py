"""Turns the objects of a pack into files, in whichever order they come.

A tree whose path is known makes the paths of its entries known. A blob is written as soon as both
it and its path are there; until then the one waits for the other. Only what hashes to its name is
written, and only what the wanted commit leads to.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from flow_fetcher.errors import RevisionNotFoundError, SourceRejectedError
from flow_fetcher.log import Log
from flow_fetcher.names import LONGEST_TARGET, rejected, shown
from flow_fetcher.sources.git.objects import Kept, Objects
from flow_fetcher.sources.git.pack import (
    BLOB,
    COMMIT,
    TAG,
    TREE,
    Entry,
    PackReader,
    Scratch,
    Staged,
    corrupt,
)
from flow_fetcher.tree import TreeWriter

_FILE, _LINK, _DIRECTORY, _SUBMODULE = 0o100000, 0o120000, 0o040000, 0o160000
_TYPE_BITS, _EXECUTABLE = 0o170000, 0o100
_LFS = b"version https://git-lfs.github.com/spec/"
_LARGEST_LFS = 1024
_PATH_BYTES = 128 << 20


_Waiting = tuple[int, Kept]
"""A delta whose base has not arrived, and its number in the pack."""


class Checkout:
    """Checks one commit out of one pack.

    Args:
        wanted: The hexadecimal name of the commit, or of a tag that leads to one.
        label: What to call it in messages.
        tree: Takes the files.
        scratch: Takes what does not fit into memory.
        log: Takes lines for people.
    """

    def __init__(
        self, wanted: str, label: str, tree: TreeWriter, scratch: Scratch, log: Log
    ) -> None:
        self._algorithm = "sha1" if len(wanted) == 40 else "sha256"
        self._root = bytes.fromhex(wanted)
        self._label = label
        self._tree = tree
        self._log = log
        self._scratch = scratch
        self._objects = Objects(self._algorithm, tree, scratch)
        self._commit: bytes | None = None
        self._places: dict[bytes, list[tuple[bytes, int]]] = {}
        """Name of an object that has not arrived → the paths and modes that wait for it."""
        self._offsets = array("Q")
        self._names: list[bytes | None] = []
        """Where entries begin in the pack, and what they turned out to be."""
        self._by_name: dict[bytes, list[_Waiting]] = {}
        self._by_number: dict[int, list[_Waiting]] = {}
        """Deltas that wait for an object, or for an entry that itself waits."""
        size = len(self._root)
        self._tree_entry = re.compile(rb"([0-7]{5,6}) ([^\0/]+)\0(.{%d})" % size, re.DOTALL)
        self._lfs: list[bytes] = []
        self._paths_left = tree.limits.entries
        self._path_bytes_left = _PATH_BYTES

    def run(self, chunks: Iterator[bytes]) -> str:
        """Read the pack to its end and write the commit's tree; the commit's name.

        Raises:
            RevisionNotFoundError: The pack does not hold the commit.
            SourceRejectedError: The pack is corrupt or lacks something, or a path is unsafe.
            SourceUnreachableError: The stream broke.
        """
        try:
            for entry in PackReader(chunks, self._algorithm, self._scratch):
                self._take(entry)
            return self._complete()
        finally:
            self._objects.close()

    # --- entries and deltas -------------------------------------------------------------------

    def _take(self, entry: Entry) -> None:
        offset, kind, base, data = entry
        number = len(self._names)
        self._offsets.append(offset)
        self._names.append(None)
        if base is None:
            self._arrive(number, kind, data)
            return
        if isinstance(base, int):
            place = bisect_left(self._offsets, base, hi=number) if base > 0 else number
            if place == number or self._offsets[place] != base:
                raise corrupt("a delta builds on an entry that is not there")
            name = self._names[place]
            if name is None:
                waiting = (number, self._objects.keep(data))
                self._by_number.setdefault(place, []).append(waiting)
                return
            base = name
        if base in self._objects:
            kind, content = self._objects.load(base)
            self._arrive(number, kind, self._objects.rebuild(content, data))
        else:
            waiting = (number, self._objects.keep(data))
            self._by_name.setdefault(base, []).append(waiting)

    def _arrive(self, number: int, kind: int, data: bytes | Staged) -> None:
        """Take an object, and every delta that waited for it, and what waited for those."""
        todo = self._settle(number, kind, data)
        while todo:
            base, (number, kept) = todo.pop()
            kind, content = self._objects.load(base)
            delta = self._objects.restore(kept)
            todo += self._settle(number, kind, self._objects.rebuild(content, delta))

    def _settle(self, number: int, kind: int, data: bytes | Staged) -> list[tuple[bytes, _Waiting]]:
        """Name an object and put it in its place; the deltas that waited for it."""
        name = self._objects.name(kind, data)
        self._names[number] = name
        self._place(name, kind, data)
        if not self._by_number and not self._by_name:
            return []
        waiting = self._by_number.pop(number, []) + self._by_name.pop(name, [])
        return [(name, each) for each in waiting]

    # --- objects and paths --------------------------------------------------------------------

    def _place(self, name: bytes, kind: int, data: bytes | Staged) -> None:
        """Put a new object where it belongs, as far as that is known."""
        if name in self._objects:
            if isinstance(data, Staged):
                data.path.unlink()
            return
        if isinstance(data, bytes):
            self._objects.cache(name, kind, data)
        places = self._places.pop(name, None)
        if kind != BLOB or places is None:
            self._objects.hold(name, kind, data)
        if name == self._root:
            self._follow(name, kind, data)
        for path, mode in places or ():
            self._put(path, mode, name, kind, data)

    def _follow(self, name: bytes, kind: int, data: bytes | Staged) -> None:
        """Go from the wanted object to its tree."""
        if kind not in (COMMIT, TAG) or not isinstance(data, bytes):
            raise RevisionNotFoundError(
                f"{self._label} is not a commit, nor a tag of one",
                remedy="Name a branch, a tag of a commit, or a commit.",
            )
        field = b"tree " if kind == COMMIT else b"object "
        digits = data[len(field) :].partition(b"\n")[0]
        try:
            target = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            target = b""
        if not data.startswith(field) or len(target) != len(self._root):
            raise corrupt("a commit or tag leads nowhere")
        if kind == COMMIT:
            self._commit = name
            self._reach(b"", _DIRECTORY, target)
            return
        self._root = target
        if target in self._objects:
            self._follow(target, *self._objects.load(target))

    def _reach(self, path: bytes, mode: int, name: bytes) -> None:
        """Note that an object belongs under this path; put it there if it is here."""
        todo = [(path, mode, name)]
        while todo:
            path, mode, name = todo.pop()
            written = self._objects.path(name)
            if written is not None and mode & _TYPE_BITS == _FILE:
                self._tree.copy(written, path, executable=bool(mode & _EXECUTABLE))
            elif name in self._objects:
                kind, data = self._objects.load(name)
                if mode == _DIRECTORY:
                    todo += self._entries(path, kind, data)
                else:
                    self._put(path, mode, name, kind, data)
            else:
                self._places.setdefault(name, []).append((path, mode))

    def _put(self, path: bytes, mode: int, name: bytes, kind: int, data: bytes | Staged) -> None:
        """Write an object that is here under a path."""
        if mode == _DIRECTORY:
            for entry in self._entries(path, kind, data):
                self._reach(*entry)
            return
        if kind != BLOB:
            raise corrupt(f"{shown(path)} is no file")
        if mode & _TYPE_BITS == _LINK:
            self._link(path, name, data)
        else:
            self._file(path, name, data, executable=bool(mode & _EXECUTABLE))

    def _link(self, path: bytes, name: bytes, data: bytes | Staged) -> None:
        if isinstance(data, Staged) or len(data) > LONGEST_TARGET:
            raise rejected(path, "is a symbolic link with a target that is too long")
        self._tree.symlink(path, data)
        if name not in self._objects:
            self._objects.hold(name, BLOB, data)

    def _file(self, path: bytes, name: bytes, data: bytes | Staged, *, executable: bool) -> None:
        earlier = self._objects.path(name)
        if isinstance(data, bytes):
            self._tree.write(path, data, executable=executable)
            if len(data) < _LARGEST_LFS and data.startswith(_LFS):
                self._lfs.append(path)
        elif earlier is not None:
            self._tree.copy(earlier, path, executable=executable)
        else:
            self._tree.adopt(path, data.path, executable=executable)
        if earlier is None:
            self._objects.written(name, path)

    def _entries(
        self, parent: bytes, kind: int, data: bytes | Staged
    ) -> Iterator[tuple[bytes, int, bytes]]:
        """The entries of a tree that lead to objects; submodules become empty directories."""
        if kind != TREE or not isinstance(data, bytes):
            raise corrupt(f"{shown(parent) or 'the root'} is no tree, or one that is too large")
        prefix = parent + b"/" if parent else b""
        if parent:
            self._tree.directory(parent)
        position = 0
        for match in self._tree_entry.finditer(data):
            if match.start() != position:
                break
            position = match.end()
            digits, name, target = match.groups()
            mode = int(digits, 8)
            self._count(len(prefix) + len(name))
            kind_bits = mode & _TYPE_BITS
            if kind_bits == _SUBMODULE:
                self._tree.directory(prefix + name)
                self._log.info(f"submodule {shown(prefix + name)} is left empty, as by git")
            elif kind_bits in (_FILE, _LINK):
                yield prefix + name, mode, target
            elif kind_bits == _DIRECTORY:
                yield prefix + name, _DIRECTORY, target
            else:
                raise rejected(prefix + name, f"has the unknown mode {mode:o}")
        if position != len(data):
            raise corrupt(f"the tree of {shown(parent) or 'the root'} cannot be read")

    def _count(self, size: int) -> None:
        """Refuse a tree that names so much that the names alone would fill memory."""
        self._paths_left -= 1
        self._path_bytes_left -= size
        if self._paths_left < 0 or self._path_bytes_left < 0:
            raise SourceRejectedError(
                f"the tree of {self._label} has too many files, or too long paths",
                remedy="Fetch a smaller repository.",
            )

    # --- the end ------------------------------------------------------------------------------

    def _complete(self) -> str:
        """Make sure that nothing is missing."""
        if self._commit is None:
            raise RevisionNotFoundError(
                f"the server did not send {self._label}",
                remedy="Check that the commit was pushed and has not been removed.",
            )
        if self._by_name or self._by_number:
            raise corrupt("a delta builds on an object that is not there")
        if self._places:
            path = min(path for places in self._places.values() for path, _ in places)
            raise SourceRejectedError(
                f"the server's pack lacks the content of {shown(path)}",
                remedy="Run `git fsck` on the server's repository.",
            )
        if self._lfs:
            self._log.warning(
                f"{len(self._lfs)} files are git-lfs pointers and stay pointers, such as "
                f"{shown(self._lfs[0])}"
            )
        return self._commit.hex()
