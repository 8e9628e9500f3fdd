"""An S3 server that lists what it is told to, as no honest one would, and may be far and busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.servers.web import Handler, Server


class LyingS3(Server):
    """Public buckets, all with the same objects.

    Args:
        objects: Key → content.
        listed: Key → what the listing says of size and ETag, where it lies.
        truncate: How many bytes of each object are held back although the length promises them.
        delay: How many seconds each object takes.
        most_a_second: How many objects it gives out in each second; 0 for any number.
        busy: The status for those who ask for more.
    """

    def __init__(
        self,
        objects: Mapping[str, bytes],
        *,
        listed: Mapping[str, tuple[int, str]] | None = None,
        truncate: int = 0,
        delay: float = 0.0,
        most_a_second: int = 0,
        busy: int = 503,
    ) -> None:
        super().__init__(_LyingHandler)
        self.objects = objects
        self.listed = listed or {}
        self.truncate = truncate
        self.delay = delay
        self.busy = busy
        self.under_way = self.most_under_way = self.refused = 0
        self.lock = threading.Lock()
        self._most_a_second = most_a_second
        self._second, self._given = 0, 0

    def gives(self) -> bool:
        """Whether one more object may be had in this second; the caller holds the lock."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._given = second, 0
        self._given += 1
        return not self._most_a_second or self._given <= self._most_a_second


class _LyingHandler(Handler):
    def do_GET(self) -> None:
        server = self.server.owner
        assert isinstance(server, LyingS3)
        parts = urlsplit(self.path)
        _, _, rest = parts.path.partition("/")
        _, _, key = rest.partition("/")
        if not key:
            self._list(server, parse_qs(parts.query).get("prefix", [""])[0])
            return
        with server.lock:
            gives = server.gives()
            server.refused += not gives
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        time.sleep(server.delay)
        with server.lock:
            server.under_way -= 1
        if gives:
            self._give(server, server.objects.get(unquote(key)))
        else:
            self.answer(server.busy, "<Error><Code>SlowDown</Code></Error>")

    def _give(self, server: LyingS3, body: bytes | None) -> None:
        if body is None:
            self.answer(404, "<Error><Code>NoSuchKey</Code></Error>")
            return
        wanted = self.headers.get("If-Match")
        if wanted and wanted != _etag(body):
            self.answer(412, "<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.send_response(200)
        self.send_header("ETag", _etag(body))
        self.send_header("Last-Modified", "Mon, 02 Jan 2023 03:04:05 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - server.truncate])
        if server.truncate:
            self.close_connection = True

    def _list(self, server: LyingS3, prefix: str) -> None:
        contents = ""
        for key, body in server.objects.items():
            if not key.startswith(prefix):
                continue
            size, etag = server.listed.get(key, (len(body), _etag(body)))
            contents += (
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size>"
                f"<ETag>{escape(etag)}</ETag>"
                "<LastModified>2023-01-02T03:04:05.000Z</LastModified></Contents>"
            )
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
            f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        )
        self.answer(200, xml, Content_Type="application/xml")


def _etag(body: bytes) -> str:
    return f'"{len(body):x}-{sum(body):x}"'
