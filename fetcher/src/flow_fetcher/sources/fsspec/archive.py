"""One archive of any file system."""

from __future__ import annotations

import threading
from typing import Any

from flow_fetcher.archives import unpack
from flow_fetcher.archives.blob import FIRST, Blob
from flow_fetcher.errors import PathNotFoundError, SourceRejectedError
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.fsspec.errors import changed, explain
from flow_fetcher.sources.fsspec.folder import version_of
from flow_fetcher.sources.parallel import later

_AHEAD = 4


def fetch_archive(filesystem: Any, name: str, url: str, fetch: Fetch, strip: int) -> str:
    """Unpack the archive; its revision.

    Raises:
        FetchError: It cannot be done.
    """
    parallel = bool(getattr(filesystem, "async_impl", False))
    lock = threading.Lock()

    def read(start: int, stop: int) -> bytes:
        try:
            if parallel:
                data: bytes = filesystem.cat_file(name, start=start, end=stop)
            else:
                with lock:
                    data = filesystem.cat_file(name, start=start, end=stop)
        except Exception as error:
            raise explain(error, url) from error
        if len(data) != stop - start:
            raise changed(url)
        return data

    def look() -> tuple[int | None, str]:
        try:
            details = filesystem.info(name)
        except FileNotFoundError as error:
            raise PathNotFoundError(
                f"there is no file {url}", remedy="Correct the key: it names one archive."
            ) from error
        if details.get("type") == "directory":
            raise PathNotFoundError(
                f"{url} is a folder", remedy="Correct the key: it names one archive."
            )
        return details.get("size"), version_of(details)

    with fetch.report.stage("resolve"):
        size, version = later(look)()
        if not size:
            known = "is empty" if size == 0 else "does not tell its size"
            raise SourceRejectedError(f"archive {url} {known}", remedy="Upload it again.")
        first = later(lambda: read(0, min(size, FIRST)))()
    ahead = _AHEAD if parallel else 1
    revision = unpack(Blob(url, name, size, first, read, ahead), fetch, strip=strip)
    filesystem.invalidate_cache()
    if later(look)() != (size, version):
        raise changed(url)
    return revision
