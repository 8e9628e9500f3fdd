"""Gives the files of a complete tree the form that git's checkout gives them, by their attributes.

Blobs are written as they are while they arrive: nearly no tree asks for anything else, and which
one does is known only when all of its `.gitattributes` are there.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping

from flow_fetcher.log import Log
from flow_fetcher.names import shown
from flow_fetcher.sources.git.attributes import Attributes
from flow_fetcher.sources.git.convert import WANTED, convert
from flow_fetcher.sources.git.pack import Scratch
from flow_fetcher.tree import TreeWriter

_PIECE = 1 << 20
_LONGEST_LINE = 8 << 20
"""What has a longer one stays as it is: it is no source code, and memory is bounded."""


class LongLineError(Exception):
    """A file has a line that is too long to convert."""


def convert_tree(
    tree: TreeWriter, files: Mapping[bytes, bytes], algorithm: str, scratch: Scratch, log: Log
) -> None:
    """Convert what the attributes ask for.

    Args:
        tree: All files are written, and no link is made yet.
        files: Directory → content of its `.gitattributes`.
        algorithm: Names the blobs, for `$Id$`.
        scratch: Takes the new content of a file until it is complete.
        log: Takes lines for people.
    """
    attributes = Attributes(files, WANTED)
    for path in _below(os.fsencode(tree.root), attributes.directories()):
        wanted = attributes.of(path)
        if not wanted.keys() & WANTED:
            continue
        with tree.open(path) as file:
            read = functools.partial(_lines, file.fileno())
            name_of = functools.cache(functools.partial(_name, file.fileno(), algorithm))
            try:
                pieces = convert(read, wanted, name_of)
                if pieces is None:
                    continue
                converted = scratch.new()
                with converted.open("xb") as output:
                    for piece in pieces:
                        scratch.take(len(piece))
                        output.write(piece)
            except LongLineError:
                log.warning(f"{shown(path)} has a line too long to convert, and stays as it is")
                continue
        tree.replace(path, converted)


def _lines(descriptor: int) -> Iterator[bytes]:
    """A file in pieces that end with a line feed, but the last.

    Raises:
        LongLineError: A line does not fit into a piece.
    """
    offset, rest = 0, b""
    while data := os.pread(descriptor, _PIECE, offset):
        offset += len(data)
        end = data.rfind(b"\n") + 1
        if end:
            yield rest + data[:end]
            rest = data[end:]
        else:
            rest += data
        if len(rest) > _LONGEST_LINE:
            raise LongLineError
    if rest:
        yield rest


def _name(descriptor: int, algorithm: str) -> bytes:
    """The name of the blob that a file is."""
    size = os.fstat(descriptor).st_size
    digest = hashlib.new(algorithm, b"blob %d\0" % size, usedforsecurity=False)
    for offset in range(0, size, _PIECE):
        digest.update(os.pread(descriptor, _PIECE, offset))
    return digest.hexdigest().encode()


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
