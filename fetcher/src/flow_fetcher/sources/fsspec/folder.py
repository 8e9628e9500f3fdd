"""Downloads a folder of any file system, several files or ranges at a time.

The listing is made again at the end: what changed meanwhile is found without help of the server.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from flow_fetcher.errors import PathNotFoundError
from flow_fetcher.names import shown
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.fsspec.errors import changed, explain, wrong_size
from flow_fetcher.sources.fsspec.options import THREADS
from flow_fetcher.sources.parallel import Ranged, Workers

_RANGE = 2 << 20
_PIECE = 1 << 20
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "checksum", "mtime", "LastModified")
_TIMES = ("last_modified", "modified", "updated", "created")


class Folder:
    """One folder on its way into the tree.

    Args:
        filesystem: One of fsspec's.
        path: The folder's path in it, without a slash at its end.
        url: What to call it in messages.
        fetch: Takes the files.
    """

    def __init__(self, filesystem: Any, path: str, url: str, fetch: Fetch) -> None:
        self._filesystem = filesystem
        self._path = path
        self._url = url
        self._fetch = fetch
        self._lines: list[bytes] = []

    def run(self) -> str:
        """Download everything; the revision.

        Raises:
            PathNotFoundError: There is nothing in the folder.
            FetchError: It cannot be done.
        """
        threads = THREADS if getattr(self._filesystem, "async_impl", False) else 1
        with self._fetch.report.stage("fetch"), Workers(threads) as workers:
            workers.wait_for(lambda: self._submit_all(workers))
        if not self._lines:
            raise PathNotFoundError(
                f"there is nothing under {self._url}",
                remedy="Correct the url: it names a folder, not a file or the beginning of names.",
            )
        digest = hashlib.sha256()
        for line in sorted(self._lines):
            digest.update(line)
        return f"sha256:{digest.hexdigest()}"

    def _submit_all(self, workers: Workers) -> None:
        with self._fetch.report.stage("resolve"):
            listing = dict(self._list())
        for name, details in listing.items():
            self._submit(workers, name, details)
        workers.submit(lambda: self._compare(listing))

    def _list(self) -> Iterator[tuple[str, dict[str, Any]]]:
        begin = f"{self._path}/"
        try:
            found = self._filesystem.find(self._path, detail=True)
        except FileNotFoundError:
            return
        for name, details in found.items():
            is_marker = details.get("type") == "directory" or name.endswith("/")
            if name.startswith(begin) and not is_marker:
                kept = {"size": details.get("size"), "version": version_of(details)}
                yield name, kept

    def _submit(self, workers: Workers, name: str, details: dict[str, Any]) -> None:
        path, size = name[len(self._path) + 1 :].encode(), details["size"]
        if size is None:
            workers.submit(lambda: self._stream(name, path, details))
        elif size <= _RANGE:
            workers.submit(lambda: self._take(name, path, details))
        else:
            ranged = Ranged(self._fetch.tree.create(path), -(-size // _RANGE))
            for start in range(0, size, _RANGE):
                workers.submit(self._part(name, path, details, ranged, start))

    def _take(self, name: str, path: bytes, details: dict[str, Any]) -> None:
        """A small file in one request."""
        data = self._read(name)
        if len(data) != details["size"]:
            raise wrong_size(self._url, path, details["size"])
        self._fetch.tree.write(path, data)
        self._done(path, details, hashlib.sha256(data).hexdigest)

    def _part(
        self, name: str, path: bytes, details: dict[str, Any], ranged: Ranged, start: int
    ) -> Callable[[], None]:
        def take() -> None:
            stop = min(start + _RANGE, details["size"])
            data = self._read(name, start=start, end=stop)
            if len(data) != stop - start:
                raise wrong_size(self._url, path, details["size"])
            ranged.sink.write_at(data, start)
            if ranged.finish_part():
                self._done(path, details, lambda: self._digest(path))

        return take

    def _stream(self, name: str, path: bytes, details: dict[str, Any]) -> None:
        """A file whose length nobody knows beforehand."""
        size = 0
        try:
            with self._filesystem.open(name, "rb") as source, self._fetch.tree.create(path) as sink:
                while piece := source.read(_PIECE):
                    sink.write(piece)
                    size += len(piece)
        except Exception as error:
            raise explain(error, f"{self._url} file {shown(path)}") from error
        self._done(path, {**details, "size": size}, lambda: self._digest(path))

    def _read(self, name: str, **part: int) -> bytes:
        try:
            data: bytes = self._filesystem.cat_file(name, **part)
        except Exception as error:
            raise explain(error, f"{self._url} file {shown(name.encode())}") from error
        return data

    def _done(self, path: bytes, details: dict[str, Any], digest: Callable[[], str]) -> None:
        # A file system without versions is compared by content.
        version = details["version"] or digest()
        line = b"%s\t%s\t%d\n" % (path, version.encode(), details["size"])
        self._lines.append(line)
        self._fetch.progress.written(self._fetch.tree.files, self._fetch.tree.size)

    def _digest(self, path: bytes) -> str:
        digest = hashlib.sha256()
        with self._fetch.tree.open(path) as file:
            while piece := os.read(file.fileno(), _PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _compare(self, before: dict[str, Any]) -> None:
        self._filesystem.invalidate_cache()
        if dict(self._list()) != before:
            raise changed(self._url)


def version_of(details: dict[str, Any]) -> str:
    """What changes with the content, as the file system tells it; empty where it does not."""
    for key in (*_VERSIONS, *_TIMES):
        value = details.get(key)
        if value:
            return str(value).strip('"')
    return ""
