"""Downloads everything under a prefix of an object store while the listing still runs.

A store is one of obstore's; what its errors mean is for the caller to say. The revision is a digest
over what was listed, so that a later attempt can tell whether it got the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_fetcher.errors import FetchError, PathNotFoundError, SourceRejectedError
from flow_fetcher.names import shown
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.parallel import Pace, Postponed, Ranged, Workers
from flow_fetcher.sources.store_errors import changed, is_busy

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

_PAGE = 1000
_PIECE = 1 << 18
"""Objects of this size come as a whole."""
_STREAMS = 16
"""How many larger ones come at once, for each of them takes memory."""
_RANGE = 8 << 20
_LARGE = 4 * _RANGE
"""Objects of this size come in parallel ranges."""


class Object(NamedTuple):
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
        self._pace = Pace()
        self._workers = Workers(self._pace.count)
        self._streams = threading.Semaphore(_STREAMS)
        self._lines: list[bytes] = []

    def run(self) -> str:
        """Download everything; the revision.

        Raises:
            PathNotFoundError: There is nothing under the prefix.
            SourceRejectedError: A key is no safe path.
            FetchError: The store failed.
        """
        with self._fetch.report.stage("fetch"), self._workers:
            self._workers.wait_for(self._submit_all)
        if not self._lines:
            raise PathNotFoundError(
                f"there is nothing under {self._url}",
                remedy="Correct the bucket and the prefix: a prefix names a directory, not the "
                "beginning of names.",
            )
        import hashlib  # 3 ms, which the first request shall not wait for

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

    def _submit_all(self) -> None:
        objects = self._list()
        with self._fetch.report.stage("resolve"):
            first = next(objects, None)
        if first is not None:
            self._submit(first)
            for each in objects:
                self._submit(each)

    def _submit(self, each: Object) -> None:
        if each.size < _LARGE:
            self._workers.submit(partial(self._take, each))
            return
        ranged = Ranged(self._fetch.tree.create(each.path), -(-each.size // _RANGE))
        for start in range(0, each.size, _RANGE):
            stop = min(start + _RANGE, each.size)
            self._workers.submit(self._part(each, ranged, start, stop))

    def _take(self, each: Object) -> None:
        """Download one object in one request."""
        if each.size > _PIECE:
            with self._streams:
                self._stream(each)
        elif (answer := self._get(each, None)) is not None:
            try:
                data = answer.bytes()
            except Exception as error:
                raise self._explain(error, self._reading(each)) from error
            self._fetch.tree.write(each.path, data)
            self._done(each, len(data))

    def _stream(self, each: Object) -> None:
        answer = self._get(each, None)
        size = 0
        with self._fetch.tree.create(each.path) as sink:
            for piece in self._pieces(each, answer):
                sink.write(piece)
                size += len(piece)
        self._done(each, size)

    def _part(self, each: Object, ranged: Ranged, start: int, stop: int) -> Callable[[], None]:
        def take() -> None:
            offset = start
            with self._streams:
                for piece in self._pieces(each, self._get(each, (start, stop))):
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
        begun = time.monotonic()
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
            if is_busy(str(error)) and (count := self._pace.refused(begun)):
                self._workers.count = count
                raise Postponed from error
            raise self._explain(error, self._reading(each)) from error
        self._workers.count = self._pace.answered(begun)
        meta = answer.meta
        # Not every server looks at the condition.
        if each.etag and (meta["e_tag"] or each.etag).strip('"') != each.etag.strip('"'):
            raise changed(self._reading(each))
        # Nor is more received than was listed.
        if meta["size"] != each.size:
            raise _wrong_size(self._url, each)
        return answer

    def _pieces(self, each: Object, answer: Any) -> Iterator[bytes]:
        """The content as it arrives."""
        pieces = iter(answer.stream(min_chunk_size=_PIECE))
        while True:
            try:
                piece = next(pieces, None)
            except Exception as error:
                raise self._explain(error, self._reading(each)) from error
            if piece is None:
                return
            yield bytes(piece)

    def _reading(self, each: Object) -> str:
        return f"read {self._url} object {each.key}"

    def _done(self, each: Object, size: int) -> None:
        if size != each.size:
            raise _wrong_size(self._url, each)
        line = b"%s\t%s\t%d\n" % (each.path, each.etag.strip('"').encode(), size)
        self._lines.append(line)


def _object(key: str, path: str, meta: Any) -> Object:
    return Object(key, path.encode(), int(meta["size"]), meta["e_tag"] or "")


def _wrong_size(url: str, each: Object) -> FetchError:
    return FetchError(
        f"object {shown(each.key.encode())} of {url} does not have the {each.size} bytes listed",
        remedy="Look at the store, or at a proxy on the way.",
    )
