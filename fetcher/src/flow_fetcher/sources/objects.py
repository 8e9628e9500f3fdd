"""Downloads everything under a prefix of an object store while the listing still runs.

A store is one of obstore's; what its errors mean is for the caller to say. The revision is a digest
over what was listed, so that a later attempt can tell whether it got the same.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flow_fetcher.errors import FetchError, PathNotFoundError, SourceRejectedError
from flow_fetcher.names import shown
from flow_fetcher.record import Record
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.parallel import Ranged, Workers
from flow_fetcher.sources.store_errors import changed

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

_THREADS = 16
_PAGE = 1000
_PIECE = 1 << 20
_RANGE = 8 << 20
_LARGE = 4 * _RANGE
"""Objects of this size come in parallel ranges."""


class Object(Record):
    """One listed object, by its key as a whole and below the prefix."""

    key: str
    path: bytes
    size: int
    etag: str


class Download:
    """One prefix of one store, on its way into the tree.

    Args:
        store: The bucket or container.
        prefix: A directory in it, without slashes around; empty for all of it.
        url: What to call it in messages.
        fetch: Takes the files.
        explain: Turns an error of obstore into one of ours; the text says what was being done.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        *,
        url: str,
        fetch: Fetch,
        explain: Callable[[Exception, str], FetchError],
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._url = url
        self._fetch = fetch
        self._explain = explain
        self._lock = threading.Lock()
        self._lines: list[bytes] = []

    def run(self) -> str:
        """Download everything; the revision.

        Raises:
            PathNotFoundError: There is nothing under the prefix.
            SourceRejectedError: A key is no safe path.
            FetchError: The store failed.
        """
        with self._fetch.report.stage("fetch"), Workers(_THREADS) as workers:
            workers.wait_for(lambda: self._submit_all(workers))
        if not self._lines:
            raise PathNotFoundError(
                f"there is nothing under {self._url}",
                remedy="Correct the bucket and the prefix: a prefix names a directory, not the "
                "beginning of names.",
            )
        digest = hashlib.sha256()
        for line in sorted(self._lines):
            digest.update(line)
        return f"sha256:{digest.hexdigest()}"

    def _list(self) -> Iterator[Object]:
        begin = f"{self._prefix}/" if self._prefix else ""
        try:
            for page in self._store.list(self._prefix or None, chunk_size=_PAGE):
                for meta in page:
                    key = meta["path"]
                    # The marker of the prefix itself comes without its slash.
                    if key.startswith(begin):
                        yield _object(key, key[len(begin) :], meta)
        except Exception as error:
            raise self._explain(error, f"list {self._url}") from error

    def _submit_all(self, workers: Workers) -> None:
        objects = self._list()
        with self._fetch.report.stage("resolve"):
            first = next(objects, None)
        if first is not None:
            self._submit(workers, first)
            for each in objects:
                self._submit(workers, each)

    def _submit(self, workers: Workers, each: Object) -> None:
        if each.size < _LARGE:
            workers.submit(lambda: self._take(each))
            return
        ranged = Ranged(self._fetch.tree.create(each.path), -(-each.size // _RANGE))
        for start in range(0, each.size, _RANGE):
            stop = min(start + _RANGE, each.size)
            workers.submit(self._part(each, ranged, start, stop))

    def _take(self, each: Object) -> None:
        """Download one object in one request."""
        answer = self._get(each, None)
        if answer is None:
            return
        size = 0
        with self._fetch.tree.create(each.path) as sink:
            for piece in self._pieces(each, answer):
                sink.write(piece)
                size += len(piece)
        self._done(each, size)

    def _part(self, each: Object, ranged: Ranged, start: int, stop: int) -> Callable[[], None]:
        def take() -> None:
            answer = self._get(each, (start, stop))
            offset = start
            for piece in self._pieces(each, answer):
                if offset + len(piece) > stop:
                    raise _wrong_size(self._url, each)
                ranged.sink.write_at(piece, offset)
                offset += len(piece)
            if offset != stop:
                raise _wrong_size(self._url, each)
            if ranged.finish_part():
                self._done(each, each.size)

        return take

    def _get(self, each: Object, part: tuple[int, int] | None) -> Any:
        """The answer to a request, or None for a directory marker."""
        options: GetOptions = {"if_match": each.etag} if each.etag else {}
        if part is not None:
            options["range"] = part
        try:
            answer = self._store.get(each.key, options=options)
        except FileNotFoundError as error:
            # obstore cuts the slash off a marker such as `docs/`, and there is no object `docs`.
            if each.size == 0:
                return None
            raise SourceRejectedError(
                f"object {shown(each.key.encode())} of {self._url} is listed but cannot be read",
                remedy="Its key begins with or ends in a slash, or it was removed meanwhile: "
                "rename it, or try again.",
            ) from error
        except Exception as error:
            raise self._explain(error, f"read {self._url} object {each.key}") from error
        # Not every server looks at the condition.
        if each.etag and (answer.meta["e_tag"] or each.etag).strip('"') != each.etag.strip('"'):
            raise changed(f"read {self._url} object {each.key}")
        return answer

    def _pieces(self, each: Object, answer: Any) -> Iterator[bytes]:
        """The content as it arrives."""
        try:
            if each.size <= _PIECE:
                pieces: Iterator[bytes] = iter((bytes(answer.bytes()),))
            else:
                pieces = answer.stream(min_chunk_size=_PIECE)
            for piece in pieces:
                yield bytes(piece)
        except FetchError:
            raise
        except Exception as error:
            raise self._explain(error, f"read {self._url} object {each.key}") from error

    def _done(self, each: Object, size: int) -> None:
        if size != each.size:
            raise _wrong_size(self._url, each)
        line = b"%s\t%s\t%d\n" % (each.path, each.etag.strip('"').encode(), size)
        with self._lock:
            self._lines.append(line)
            self._fetch.progress.written(self._fetch.tree.files, self._fetch.tree.size)


def _object(key: str, path: str, meta: Any) -> Object:
    return Object(key, path.encode(), int(meta["size"]), meta["e_tag"] or "")


def _wrong_size(url: str, each: Object) -> FetchError:
    return FetchError(
        f"object {shown(each.key.encode())} of {url} does not have the {each.size} bytes listed",
        remedy="Look at the store, or at a proxy on the way.",
    )
