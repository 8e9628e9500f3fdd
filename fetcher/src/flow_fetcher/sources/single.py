"""One object of an object store, read by ranges that are all of the same version."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flow_fetcher.archives.blob import FIRST, Blob
from flow_fetcher.errors import FetchError, PathNotFoundError, SourceRejectedError
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.parallel import later
from flow_fetcher.sources.store_errors import changed, gone, status_of

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore


def open_object(
    store: ObjectStore,
    key: str,
    url: str,
    fetch: Fetch,
    explain: Callable[[Exception, str], FetchError],
) -> Blob:
    """One object, for reading by ranges; its beginning is read at once.

    Args:
        store: The bucket or container.
        key: The object's key.
        url: What to call it in messages.
        fetch: Measures the time.
        explain: Turns an error of obstore into one of ours; the text says what was being done.

    Raises:
        FetchError: It cannot be read.
    """
    doing = f"read {url}"

    def get(start: int, stop: int, etag: str | None) -> tuple[Any, bytes]:
        options: GetOptions = {"range": (start, stop)}
        if etag:
            options["if_match"] = etag
        try:
            answer = store.get(key, options=options)
            return answer, bytes(answer.bytes())
        except FileNotFoundError as error:
            if gone(str(error)):
                raise explain(error, doing) from error
            raise PathNotFoundError(
                f"there is no object {url}",
                remedy="Correct the key: it names one archive, from the top of the bucket.",
            ) from error
        except Exception as error:
            if status_of(str(error)) == 416:
                raise SourceRejectedError(
                    f"object {url} is empty", remedy="Upload the archive again."
                ) from error
            raise explain(error, doing) from error

    with fetch.report.stage("resolve"):
        answer, first = later(lambda: get(0, FIRST, None))()
    meta = answer.meta
    size, etag = int(meta["size"]), meta["e_tag"]

    def read(start: int, stop: int) -> bytes:
        answer, data = get(start, stop, etag)
        if answer.meta["e_tag"] != etag or answer.meta["size"] != size:
            raise changed(doing)
        if len(data) != stop - start:
            raise FetchError(f"cannot {doing}: an answer was too short", transient=True)
        return data

    return Blob(url, key, size, first, read)
