"""Unpacks an archive into the tree while it is still downloaded, and never trusts a word of it.

The revision of an archive is the SHA-256 of its bytes. They are read once and in order, a few
ranges ahead; only a zip's table of contents, which is at its end, is read before the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from flow_fetcher.archives.blob import Blob
from flow_fetcher.archives.output import Output, broken
from flow_fetcher.errors import PathNotFoundError
from flow_fetcher.sources import Fetch

__all__ = ["Blob", "unpack"]


def unpack(blob: Blob, fetch: Fetch, *, strip: int = 0) -> str:
    """Write what is in an archive into the tree; its revision.

    Args:
        blob: The archive; its name says of which kind it is.
        fetch: Takes the files.
        strip: How many leading directories of each path are dropped.

    Raises:
        SourceRejectedError: It is broken, hostile, or of a kind that is not supported.
        PathNotFoundError: There is nothing in it.
        FetchError: It cannot be read.
    """
    output = Output(fetch.tree, blob.url, strip)
    digest = hashlib.sha256()
    with fetch.report.stage("fetch"):
        pieces = _arriving(blob, fetch, output, digest.update)
        if blob.name.endswith(".zip"):
            from flow_fetcher.archives.zip import unpack_zip

            unpack_zip(blob, pieces, output)
        else:
            from flow_fetcher.archives.compression import decompressor
            from flow_fetcher.archives.tar import unpack_tar

            unpack_tar(decompressor(blob.name)(pieces, output), output)
        # What follows the last entry is part of the archive, and of its digest.
        for _ in pieces:
            pass
    if not fetch.tree.files:
        dropped = f" below {strip} leading directories" if strip else ""
        raise PathNotFoundError(
            f"there are no files{dropped} in archive {blob.url}",
            remedy="Correct key and stripComponents, or upload the archive again.",
        )
    return f"sha256:{digest.hexdigest()}"


def _arriving(
    blob: Blob, fetch: Fetch, output: Output, update: Callable[[bytes], None]
) -> Iterator[bytes]:
    """The archive's bytes; each is counted and becomes part of the digest."""
    received = 0
    for piece in blob.pieces():
        update(piece)
        received += len(piece)
        output.received += len(piece)
        fetch.progress.received(len(piece))
        yield piece
    if received != blob.size:
        raise broken(blob.url, f"it has {received} bytes and not the {blob.size} announced")
