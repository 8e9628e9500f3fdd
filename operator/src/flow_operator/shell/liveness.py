"""Whether the watches make progress, seen where it cannot be pretended: on their connections.

Every byte of a watch is a sign of life, and so is its start. The API server sends a bookmark about
once a minute, and kopf connects again after 70 s of silence: a watch that shows nothing for longer
than that is dead, whatever its task believes.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import aiohttp

from flow_operator.shell.echoes import Echoes

SILENCE_SECONDS = 200.0
"""After how much silence a watch counts as dead: nearly three times what is usual."""


class Liveness:
    """Signs of life of the watches that should be open.

    Args:
        paths: Paths of the watches that are expected.
        clock: A clock that never goes back, in seconds.
    """

    def __init__(self, paths: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._seen: dict[str, float | None] = dict.fromkeys(paths)

    def restart(self) -> None:
        """Start anew: nothing has been seen yet."""
        self._since = self._clock()
        self._seen = dict.fromkeys(self._seen)

    def note(self, path: str) -> None:
        """Take note that a watch has shown life."""
        if path in self._seen:
            self._seen[path] = self._clock()

    def unopened(self) -> list[str]:
        """Return the watches that have not begun: their objects have not been listed either."""
        return [path for path, seen in self._seen.items() if seen is None]

    def silent(self) -> list[str]:
        """Return the watches that have shown no life for too long."""
        now = self._clock()
        return [
            path
            for path, seen in self._seen.items()
            if now - (self._since if seen is None else seen) > SILENCE_SECONDS
        ]

    def response_class(
        self,
        echoes: Echoes | None = None,
        only_news: Callable[[Any], Any] = lambda listed: listed,
        passes: Callable[[str, bytes], bool] = lambda _plural, _line: True,
        listed: dict[str, int] | None = None,
    ) -> type[aiohttp.ClientResponse]:
        """Return a class of responses that report the signs of life of watches.

        Args:
            echoes: What need not be passed on of a watch.
            only_news: Takes out of a list what need not be passed on.
            listed: Of which paths everything is known as of a resourceVersion: the first list of
                each is not read, and the watch begins there. If that is too long ago by then, the
                API server says so, and a second list is read.
            passes: Asked of each line of a watch, by the plural of the kind, whether to pass it on.
        """
        note, known, unread = self.note, echoes or Echoes(), dict(listed or {})

        class WatchResponse(aiohttp.ClientResponse):
            async def start(self, connection: Any) -> aiohttp.ClientResponse:
                await super().start(connection)
                if self.status == 200 and self.url.query.get("watch") == "true":
                    note(self.url.path)
                    self.content = _Heard(self.content, self.url.path, note, known, passes)  # type: ignore[assignment]
                return self

            async def json(self, **options: Any) -> Any:
                if self.status == 200 and self.url.path in unread:
                    version = unread.pop(self.url.path)
                    self.close()
                    return {"metadata": {"resourceVersion": str(version)}, "items": []}
                return only_news(await super().json(**options))

        return WatchResponse


class _Heard:
    """A stream of lines that tells when bytes arrive, and leaves out what is not passed on."""

    def __init__(
        self,
        stream: aiohttp.StreamReader,
        path: str,
        note: Callable[[str], None],
        echoes: Echoes,
        passes: Callable[[str, bytes], bool],
    ) -> None:
        self._stream = stream
        self._path = path
        self._note = note
        self._echoes = echoes
        self._passes = passes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        begun: list[bytes] = []
        plural = self._path.rpartition("/")[2]
        async for chunk in self._stream.iter_chunked(size):
            self._note(self._path)
            if b"\n" not in chunk:
                begun.append(chunk)
                continue
            *lines, rest = b"".join((*begun, chunk)).split(b"\n")
            begun = [rest]
            news = await self._echoes.news(plural, lines)
            if news := [line for line in news if self._passes(plural, line)]:
                yield b"\n".join((*news, b""))
        yield b"".join(begun)
