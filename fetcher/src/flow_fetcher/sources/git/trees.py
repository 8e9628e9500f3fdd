"""Reads trees, commits and tags: what leads from the wanted name to the files.

See "tree" in gitdatamodel(7) and git-mktree(1) for what the modes mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flow_fetcher.errors import SourceRejectedError
from flow_fetcher.log import Log
from flow_fetcher.names import rejected, shown
from flow_fetcher.sources.git.pack import COMMIT, TREE, Staged, corrupt
from flow_fetcher.sources.git.scope import Scope
from flow_fetcher.tree import TreeWriter

FILE, LINK, DIRECTORY, SUBMODULE = 0o100000, 0o120000, 0o040000, 0o160000
TYPE_BITS, EXECUTABLE = 0o170000, 0o100
_PATH_BYTES = 128 << 20
_ATTRIBUTES = b".gitattributes"


class Trees:
    """The directories of one commit.

    Args:
        name_size: The size of an object's name.
        label: What to call the commit in messages.
        tree: Takes the directories.
        log: Takes lines for people.
        scope: Which part is wanted; None for everything.
    """

    def __init__(
        self, name_size: int, label: str, tree: TreeWriter, log: Log, *, scope: Scope | None
    ) -> None:
        self._entry = re.compile(rb"([0-7]{5,6}) ([^\0/]+)\0(.{%d})" % name_size, re.DOTALL)
        self._label = label
        self._tree = tree
        self._log = log
        self._scope = scope
        self._paths_left = tree.limits.entries
        self._path_bytes_left = _PATH_BYTES

    def entries(
        self, parent: bytes, kind: int, data: bytes | Staged
    ) -> Iterator[tuple[bytes, int, bytes]]:
        """The entries of a tree that lead to objects; submodules become empty directories.

        Raises:
            SourceRejectedError: It is no tree, or has entries that must not be.
        """
        if kind != TREE or not isinstance(data, bytes):
            raise corrupt(f"{shown(parent) or 'the root'} is no tree, or one that is too large")
        prefix = parent + b"/" if parent else b""
        if parent:
            self._tree.directory(parent)
        position = 0
        for match in self._entry.finditer(data):
            if match.start() != position:
                break
            position = match.end()
            digits, name, target = match.groups()
            mode = int(digits, 8)
            self._count(len(prefix) + len(name))
            kind_bits = mode & TYPE_BITS
            if self._scope and not _concerns(self._scope, prefix + name, kind_bits):
                continue
            if kind_bits == SUBMODULE:
                self._tree.directory(prefix + name)
                self._log.info(f"submodule {shown(prefix + name)} is left empty, as by git")
            elif kind_bits in (FILE, LINK):
                yield prefix + name, mode, target
            elif kind_bits == DIRECTORY:
                yield prefix + name, DIRECTORY, target
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


def _concerns(scope: Scope, path: bytes, kind_bits: int) -> bool:
    """Whether an entry is wanted, leads to what is, or has attributes for it."""
    if kind_bits == DIRECTORY:
        return scope.leads(path)
    return scope.holds(path) or (kind_bits == FILE and tells_attributes(path))


def tells_attributes(path: bytes) -> bool:
    """Whether a path is that of a file with attributes."""
    return path.endswith(_ATTRIBUTES) and path.rpartition(b"/")[2] == _ATTRIBUTES


def leads_to(kind: int, data: bytes, name_size: int) -> bytes:
    """The name of a commit's tree, or of what a tag is for.

    Raises:
        SourceRejectedError: It has none.
    """
    field = b"tree " if kind == COMMIT else b"object "
    digits = data[len(field) :].partition(b"\n")[0]
    try:
        target = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        target = b""
    if not data.startswith(field) or len(target) != name_size:
        raise corrupt("a commit or tag leads nowhere")
    return target
