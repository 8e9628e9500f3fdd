"""An S3 server that lists whatever keys it is told to, as no honest one would."""

from __future__ import annotations

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
    """

    def __init__(
        self,
        objects: Mapping[str, bytes],
        *,
        listed: Mapping[str, tuple[int, str]] | None = None,
        truncate: int = 0,
    ) -> None:
        super().__init__(_LyingHandler)
        self.objects = objects
        self.listed = listed or {}
        self.truncate = truncate


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
        body = server.objects.get(unquote(key))
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
