"""Turns the objects of a pack into files, in whichever order they come.

A tree whose path is known makes the paths of its entries known. A blob is written as soon as both
it and its path are there; until then the one waits for the other. Only what hashes to its name is
written, and only what the wanted commit leads to.
"""

from __future__ import annotations

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
    Entry,
    PackReader,
    Scratch,
    Staged,
    corrupt,
)
from flow_fetcher.sources.git.scope import Scope
from flow_fetcher.sources.git.trees import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    LINK,
    TYPE_BITS,
    Trees,
    leads_to,
    tells_attributes,
)
from flow_fetcher.tree import TreeWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_LFS = b"version https://git-lfs.github.com/spec/"
_LARGEST_LFS = 1024


_Waiting = tuple[int, Kept]
"""A delta whose base has not arrived, and its number in the pack."""


class Checkout:
    """Checks one commit out of one pack, or of several that follow one another.

    Args:
        wanted: The hexadecimal name of the commit, or of a tag that leads to one.
        label: What to call it in messages.
        tree: Takes the files.
        scratch: Takes what does not fit into memory.
        log: Takes lines for people.
        scope: Which part is wanted; None for everything.
    """

    def __init__(
        self,
        wanted: str,
        label: str,
        tree: TreeWriter,
        scratch: Scratch,
        log: Log,
        *,
        scope: Scope | None = None,
    ) -> None:
        self._scope = scope
        self._algorithm = "sha1" if len(wanted) == 40 else "sha256"
        self._root = bytes.fromhex(wanted)
        self._label = label
        self._tree = tree
        self._log = log
        self._scratch = scratch
        self._trees = Trees(len(self._root), label, tree, log, scope=scope)
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
        self._lfs: list[bytes] = []
        self._attributes: dict[bytes, bytes] = {}
        """Directory → content of its .gitattributes."""

    def run(self, chunks: Iterator[bytes]) -> str:
        """Read the one pack that holds everything; the commit's name.

        Raises:
            RevisionNotFoundError: The pack does not hold the commit.
            PathNotFoundError: The commit lacks a directory that is wanted.
            SourceRejectedError: The pack is corrupt or lacks something, or a path is unsafe.
            SourceUnreachableError: The stream broke.
        """
        with self:
            self.read(chunks)
            return self.complete()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._objects.close()

    def read(self, chunks: Iterator[bytes]) -> None:
        """Read a pack to its end and write what can be written; another one may follow."""
        self._offsets = array("Q")
        self._names = []
        for entry in PackReader(chunks, self._algorithm, self._scratch):
            self._take(entry)
        if self._by_name or self._by_number:
            raise corrupt("a delta builds on an object that is not there")

    def missing(self) -> list[str]:
        """The names of objects that are needed and have not arrived."""
        if self._commit is None:
            return []
        if self._scope:
            self._scope.check(self._label)
        return [name.hex() for name in self._places]

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
        target = leads_to(kind, data, len(self._root))
        if kind == COMMIT:
            self._commit = name
            self._reach(b"", DIRECTORY, target)
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
            if written is not None and mode & TYPE_BITS == FILE and not tells_attributes(path):
                self._tree.copy(written, path, executable=bool(mode & EXECUTABLE))
            elif name in self._objects:
                kind, data = self._objects.load(name)
                if mode == DIRECTORY:
                    todo += self._trees.entries(path, kind, data)
                else:
                    self._put(path, mode, name, kind, data)
            else:
                self._places.setdefault(name, []).append((path, mode))

    def _put(self, path: bytes, mode: int, name: bytes, kind: int, data: bytes | Staged) -> None:
        """Write an object that is here under a path."""
        if mode == DIRECTORY:
            for entry in self._trees.entries(path, kind, data):
                self._reach(*entry)
            return
        if kind != BLOB:
            raise corrupt(f"{shown(path)} is no file")
        if mode & TYPE_BITS == LINK:
            self._link(path, name, data)
            return
        if tells_attributes(path) and isinstance(data, bytes):
            self._attributes[path.rpartition(b"/")[0]] = data
        if self._scope and not self._scope.holds(path):
            if name not in self._objects:
                self._objects.hold(name, BLOB, data)
        else:
            self._file(path, name, data, executable=bool(mode & EXECUTABLE))

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

    # --- the end ------------------------------------------------------------------------------

    def complete(self) -> str:
        """Make sure that nothing is missing, and convert what asks for it; the commit's name."""
        if self._commit is None:
            raise RevisionNotFoundError(
                f"the server did not send {self._label}",
                remedy="Check that the commit was pushed and has not been removed.",
            )
        if self.missing():
            path = min(path for places in self._places.values() for path, _ in places)
            raise SourceRejectedError(
                f"the server's pack lacks the content of {shown(path)}",
                remedy="Run `git fsck` on the server's repository.",
            )
        if self._attributes:
            from flow_fetcher.sources.git.worktree import convert_tree  # few trees need it

            convert_tree(self._tree, self._attributes, self._algorithm, self._scratch, self._log)
        if self._lfs:
            self._log.warning(
                f"{len(self._lfs)} files are git-lfs pointers and stay pointers, such as "
                f"{shown(self._lfs[0])}"
            )
        return self._commit.hex()
