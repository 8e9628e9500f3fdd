"""A threaded HTTP or HTTPS server on a free loopback port; a subclass says what it answers."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.servers.authority import Authority


@dataclass
class Request:
    """One request that a server has seen."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 with kept connections, logs nothing, and notes every request."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    # Nagle's algorithm would add 40 ms to every answer on a connection that is used again.
    disable_nagle_algorithm = True
    server: WebServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the tests look at `requests`."""

    def setup(self) -> None:
        super().setup()
        self.server.owner.connections += 1

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.owner.requests.append(Request(self.command, self.path, headers))
        return True

    def body(self) -> bytes:
        """The request's body, whichever way it is framed."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, text: str = "", **headers: str) -> None:
        """A short answer in plain text; underscores in header names become dashes."""
        raw = text.encode()
        self.send_response(status)
        for name, value in {"Content_Type": "text/plain", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class WebServer(ThreadingHTTPServer):
    """The socket; knows the object that the tests hold."""

    daemon_threads = True
    request_queue_size = 128
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nothing to report."""


class Server:
    """Runs while its `with` lasts.

    Args:
        handler: Answers the requests.
        authority: Makes it HTTPS, with a certificate of this authority.
        host: The name in the URL and the certificate.
        port: Where to listen; 0 is a free port.
        address: The address to bind.
    """

    def __init__(
        self,
        handler: type[Handler],
        *,
        authority: Authority | None = None,
        host: str = "localhost",
        port: int = 0,
        address: str = "127.0.0.1",
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._web = WebServer((address, port), handler)
        self._web.owner = self
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if authority is not None:
            authority.certify(self.context, host)
            self._web.socket = self.context.wrap_socket(
                self._web.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._web.server_address[1])
        self.url = f"{'https' if authority else 'http'}://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port; a second time does nothing."""
        if self._thread.is_alive():
            self._web.shutdown()
            self._thread.join()
        self._web.server_close()
