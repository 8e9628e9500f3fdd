"""The two compressions of a tar archive, with bounded memory: gzip (RFC 1952) and Zstandard
(RFC 8878)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from flow_fetcher.archives.output import Output

_MOST = 1 << 20
"""How much may come out at once."""
_LARGEST_WINDOW = 26
"""2^26 bytes, 64 MiB: what a Zstandard stream may make us remember."""

Decompressor = Callable[[Iterator[bytes], Output], Iterator[bytes]]


def decompressor(name: str) -> Decompressor:
    """What unpacks a tar archive of this name."""
    if name.endswith((".gz", ".tgz")):
        return gzip
    return zstandard if name.endswith(".zst") else plain


def plain(pieces: Iterator[bytes], output: Output) -> Iterator[bytes]:
    """No compression."""
    del output
    return pieces


def gzip(pieces: Iterator[bytes], output: Output) -> Iterator[bytes]:
    """One gzip member or several; zlib checks the length and checksum of each.

    Raises:
        SourceRejectedError: It is no gzip stream, broken, cut off or a bomb.
    """
    size, member = 0, zlib.decompressobj(wbits=31)
    fresh = True
    for piece in pieces:
        left = piece
        while left:
            if member.eof:
                # Some tools fill up the last block with zeros.
                left = left.lstrip(b"\0")
                if not left:
                    break
                member = zlib.decompressobj(wbits=31)
            fresh = False
            try:
                out = member.decompress(left, _MOST)
            except zlib.error as error:
                raise output.broken(f"its gzip stream is broken ({error})") from error
            left = member.unconsumed_tail or (member.unused_data if member.eof else b"")
            size += len(out)
            output.grown(size)
            if out:
                yield out
    if fresh or not member.eof:
        raise output.broken("its gzip stream is cut off")


def zstandard(pieces: Iterator[bytes], output: Output) -> Iterator[bytes]:
    """One Zstandard frame or several.

    Raises:
        SourceRejectedError: It is no such stream, broken, cut off, a bomb, or needs too much
            memory.
    """
    zstd = _library()
    options = {zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW}
    size, frame = 0, zstd.ZstdDecompressor(options=options)
    fresh = True
    for piece in pieces:
        left = piece
        while left or not (frame.needs_input or frame.eof):
            if frame.eof:
                frame = zstd.ZstdDecompressor(options=options)
            fresh = False
            try:
                out = frame.decompress(left, _MOST)
            except zstd.ZstdError as error:
                raise output.broken(_zstd_problem(str(error))) from error
            left = frame.unused_data if frame.eof else b""
            size += len(out)
            output.grown(size)
            if out:
                yield out
    if fresh or not frame.eof:
        raise output.broken("its Zstandard stream is cut off")


def _zstd_problem(text: str) -> str:
    if "memory" in text.lower() or "window" in text.lower():
        return (
            f"its Zstandard stream needs more than {1 << (_LARGEST_WINDOW - 20)} MiB to unpack: "
            "compress it without --long and --ultra"
        )
    return f"its Zstandard stream is broken ({text})"


def _library() -> Any:
    try:
        return import_module("compression.zstd")  # Python 3.14 and newer
    except ImportError:
        return import_module("backports.zstd")
