"""Gives the files of a complete tree the form that git's checkout gives them, by their attributes.

Blobs are written as they are while they arrive: nearly no tree asks for anything else, and which
one does is known only when all of its `.gitattributes` are there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping

from flow_fetcher.log import Log
from flow_fetcher.names import shown
from flow_fetcher.sources.git.attributes import Attributes
from flow_fetcher.sources.git.convert import WANTED, convert
from flow_fetcher.tree import TreeWriter

_LARGEST = 16 << 20
"""What is larger stays as it is: it is no source code, and memory is bounded."""


def convert_tree(tree: TreeWriter, files: Mapping[bytes, bytes], algorithm: str, log: Log) -> None:
    """Convert what the attributes ask for.

    Args:
        tree: All files are written, and no link is made yet.
        files: Directory → content of its `.gitattributes`.
        algorithm: Names the blobs, for `$Id$`.
        log: Takes lines for people.
    """
    attributes = Attributes(files, WANTED)

    def name_of(data: bytes) -> bytes:
        digest = hashlib.new(algorithm, b"blob %d\0" % len(data), usedforsecurity=False)
        digest.update(data)
        return digest.hexdigest().encode()

    for path in _below(os.fsencode(tree.root), attributes.directories()):
        wanted = attributes.of(path)
        if wanted.keys() & WANTED:
            with tree.open(path) as file:
                size = os.fstat(file.fileno()).st_size
                data = _read(file.fileno(), size) if size <= _LARGEST else None
            if data is None:
                log.warning(f"{shown(path)} is too large to convert, and stays as it is")
                continue
            converted = convert(data, wanted, name_of)
            if converted != data:
                tree.replace(path, converted)


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(descriptor, size - len(data))
        if not piece:
            break
        data += piece
    return data


def _below(root: bytes, directories: list[bytes]) -> Iterator[bytes]:
    """Every file below one of these directories, by its path within the root."""
    tops: list[bytes] = []
    for top in sorted(directories):
        if not any(not other or top.startswith(other + b"/") for other in tops):
            tops.append(top)
    for top in tops:
        for directory, _, names in os.walk(os.path.join(root, top) if top else root):
            prefix = directory[len(root) :].lstrip(b"/")
            for name in names:
                yield prefix + b"/" + name if prefix else name
