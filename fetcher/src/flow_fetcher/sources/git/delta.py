"""Applies a delta to its base, within the size that the delta announces.

See "deltified representation" in gitformat-pack(5).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

from flow_fetcher.errors import SourceRejectedError

CORRUPT_REMEDY = (
    "Run `git fsck` on the server's repository; a proxy on the way may also be at fault."
)

_COPY_DEFAULT = 0x10000
_LITERAL, _COPY = 0x7F, 0x80


def sizes(delta: bytes | mmap.mmap) -> tuple[int, int, int]:
    """The size of the base, the size of the result, and where the instructions begin.

    Raises:
        SourceRejectedError: The delta ends within them.
    """
    try:
        base, position = _size(delta, 0)
        result, position = _size(delta, position)
    except IndexError:
        raise broken("ends in its header") from None
    return base, result, position


def apply(delta: bytes | mmap.mmap, base_size: int, read: Callable[[int, int], bytes]) -> bytes:
    """The result as a whole.

    Args:
        delta: The instructions, with their header.
        base_size: The size of the base that is there.
        read: Returns a part of the base, by start and stop.

    Raises:
        SourceRejectedError: The delta does not fit the base or contradicts itself.
    """
    pieces: list[bytes] = []
    apply_into(delta, base_size, read, pieces.append)
    return b"".join(pieces)


def apply_into(  # noqa: PLR0912  the loop that runs most often: no call within it that can be avoided
    delta: bytes | mmap.mmap,
    base_size: int,
    read: Callable[[int, int], bytes],
    write: Callable[[bytes], object],
) -> None:
    """Like `apply`, with the result written piece by piece."""
    expected, left, at = sizes(delta)
    if expected != base_size:
        raise broken("belongs to a base of another size")
    end = len(delta)
    try:
        while at < end:
            code = delta[at]
            at += 1
            if code & _COPY:
                start = size = 0
                if code & 0x01:
                    start = delta[at]
                    at += 1
                if code & 0x02:
                    start |= delta[at] << 8
                    at += 1
                if code & 0x04:
                    start |= delta[at] << 16
                    at += 1
                if code & 0x08:
                    start |= delta[at] << 24
                    at += 1
                if code & 0x10:
                    size = delta[at]
                    at += 1
                if code & 0x20:
                    size |= delta[at] << 8
                    at += 1
                if code & 0x40:
                    size |= delta[at] << 16
                    at += 1
                stop = start + (size or _COPY_DEFAULT)
                left -= stop - start
                if left < 0 or stop > base_size:
                    raise broken("copies too much, or from beyond its base")
                write(read(start, stop))
            else:
                left -= code
                if left < 0 or at + code > end or not code:
                    raise broken("inserts too much, or nothing")
                write(delta[at : at + code])
                at += code
    except IndexError:
        raise broken("is cut off") from None
    if left:
        raise broken("gives a result of another size than it says")


def broken(problem: str) -> SourceRejectedError:
    """The error for a delta that cannot be right."""
    return SourceRejectedError(
        f"the repository's pack is corrupt: a delta {problem}",
        remedy=CORRUPT_REMEDY,
    )


def _size(delta: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = delta[position]
        position += 1
        value |= (byte & _LITERAL) << shift
        if byte < _COPY:
            return value, position
        shift += 7
        if shift > 63:
            raise broken("announces an impossible size")
