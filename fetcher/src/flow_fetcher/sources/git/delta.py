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


def apply_into(
    delta: bytes | mmap.mmap,
    base_size: int,
    read: Callable[[int, int], bytes],
    write: Callable[[bytes], object],
) -> None:
    """Like `apply`, with the result written piece by piece."""
    expected, left, position = sizes(delta)
    if expected != base_size:
        raise broken("belongs to a base of another size")
    end = len(delta)
    try:
        while position < end:
            code = delta[position]
            position += 1
            if code & _COPY:
                start, size, position = _copy_arguments(delta, position, code)
                if start + size > base_size:
                    raise broken("copies from beyond its base")
                left -= size
                if left < 0:
                    break
                write(read(start, start + size))
            elif code:
                left -= code
                if left < 0 or position + code > end:
                    raise broken("is cut off or too long")
                write(delta[position : position + code])
                position += code
            else:
                raise broken("has an instruction that does not exist")
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


def _copy_arguments(delta: bytes | mmap.mmap, position: int, code: int) -> tuple[int, int, int]:
    """Where a copy begins, its size, and where the next instruction is."""
    start = size = 0
    for shift in (0, 8, 16, 24):
        if code & 1:
            start |= delta[position] << shift
            position += 1
        code >>= 1
    for shift in (0, 8, 16):
        if code & 1:
            size |= delta[position] << shift
            position += 1
        code >>= 1
    return start, size or _COPY_DEFAULT, position


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
