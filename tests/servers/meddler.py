"""A reverse proxy before another server that redirects, delays, breaks or refuses what passes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.servers.authority import Authority
from tests.servers.web import Handler, Server

_PIECE = 1 << 14


@dataclass
class Answer:
    """What the server behind said; a meddler may change all of it.

    Attributes:
        body: What goes out; whoever changes its length removes Content-Length.
        cut: Break the connection after this many bytes of the body.
        stall: Send nothing more after this many bytes of the body, and keep the connection.
    """

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: Iterator[bytes]
    cut: int | None = None
    stall: int | None = None


class Meddler(Server):
    """Forwards to `target` and lets `meddle` change each answer.

    Args:
        target: The URL of the server behind.
        meddle: Changes an answer in place.
        authority: Makes it HTTPS.
        host: The name in URL and certificate.
    """

    def __init__(
        self,
        target: str,
        meddle: Callable[[Answer], None] = lambda answer: None,
        *,
        authority: Authority | None = None,
        host: str = "localhost",
    ) -> None:
        super().__init__(_MeddlingHandler, authority=authority, host=host)
        self.target = target
        self.meddle = meddle
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Also let go of the clients that wait."""
        self.stopped.set()
        super().stop()


def flip(body: Iterator[bytes], at: int) -> Iterator[bytes]:
    """The body with one bit changed."""
    passed = 0
    for piece in body:
        if passed <= at < passed + len(piece):
            changed = bytearray(piece)
            changed[at - passed] ^= 0x10
            yield bytes(changed)
        else:
            yield piece
        passed += len(piece)


class _MeddlingHandler(Handler):
    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def _forward(self) -> None:
        server = self.server.owner
        assert isinstance(server, Meddler)
        body = self.body()
        parts = urlsplit(server.target)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "transfer-encoding", "connection")
        }
        # A proxy gets a whole URL.
        path = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]
        connection.request(self.command, path, body, headers)
        raw = connection.getresponse()
        kept = {
            name: value
            for name, value in raw.getheaders()
            if name.lower() not in ("transfer-encoding", "connection")
        }
        pieces = iter(lambda: raw.read1(_PIECE), b"")
        answer = Answer(self.command, self.path, raw.status, kept, pieces)
        server.meddle(answer)
        try:
            self._send(server, answer)
        finally:
            connection.close()

    def _send(self, server: Meddler, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        chunked = not any(name.lower() == "content-length" for name in answer.headers)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        for each in answer.body:
            limits = [limit for limit in (answer.cut, answer.stall) if limit is not None]
            piece = each[: max(0, min(limits) - sent)] if limits else each
            if piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
            sent += len(each)
            if limits and sent >= min(limits):
                if answer.stall is not None:
                    server.stopped.wait(60)
                self.close_connection = True
                return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
