"""HTTP/1.1 over one connection: a request out, an answer in, its body piece by piece.

See RFC 9112. Only what a git client needs, and nothing of what makes `http.client` slow to import
and to read with: 20 ms of mail parsing, and several calls and copies for each chunk of a body.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

_READ = 1 << 18
_LONGEST_LINE = 1 << 14
_MOST_HEADERS = 200
_LONGEST_NUMBER = 15
"""Digits in the length of a body or chunk."""
_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_NO_BODY = (204, 304)


class BrokenAnswerError(Exception):
    """The server broke off, or what it says is no HTTP."""


class Connection:
    """One connection to a server or proxy.

    Args:
        host: Where to connect to.
        port: Where to connect to.
        timeout: How many seconds to wait for the connection.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._position = 0
        self.reusable = True

    def encrypt(self, context: SSLContext, host: str) -> None:
        """Speak TLS from now on, with the server of this name."""
        self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def wait_at_most(self, seconds: float) -> None:
        """How long to wait for the next byte from now on."""
        self._socket.settimeout(seconds)

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes = b"",
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send a request and read the head of its answer; `meanwhile` is done between.

        Raises:
            OSError: The connection is gone.
            BrokenAnswerError: The answer is no HTTP.
        """
        if body or method == "POST":
            headers = {**headers, "Content-Length": str(len(body))}
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join(lines)
        if any(ord(char) < 32 for line in lines for char in line):
            raise ValueError("a header holds a line break or control character")
        self._socket.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)
        self.reusable = False
        meanwhile()
        return Answer(self, *self._head(method))

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def _head(self, method: str) -> tuple[int, dict[str, str], bool]:
        """Status and headers of the answer, and whether a body follows."""
        status = 100
        while status < 200:
            version, _, rest = self._first_line().partition(" ")
            if not version.startswith("HTTP/1.") or not (rest[:3].isascii() and rest[:3].isdigit()):
                raise BrokenAnswerError("the answer is no HTTP")
            status = int(rest[:3])
            headers: dict[str, str] = {}
            while line := self.line().decode("latin-1"):
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
                if len(headers) > _MOST_HEADERS:
                    raise BrokenAnswerError("the answer has too many headers")
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        return status, headers, status not in _NO_BODY and (method, status) != ("CONNECT", 200)

    def _first_line(self) -> str:
        if self._position == len(self._buffer) and not self._fill():
            raise ConnectionResetError("the server closed the connection")
        return self.line().decode("latin-1")

    def some(self, most: int) -> bytes:
        """The next bytes, as many as there are; empty where the server closed the connection."""
        if self._position == len(self._buffer):
            self._fill()
        data = self._buffer[self._position : self._position + most]
        self._position += len(data)
        return data

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._buffer.find(b"\n", self._position)) < 0:
            if len(self._buffer) - self._position > _LONGEST_LINE or not self._fill():
                raise BrokenAnswerError("the answer ends within a line")
        line = self._buffer[self._position : end]
        self._position = end + 1
        return line.removesuffix(b"\r")

    def _fill(self) -> bool:
        """Receive more behind what is left; false where the server closed the connection."""
        data = self._socket.recv(_READ)
        self._buffer = self._buffer[self._position :] + data
        self._position = 0
        return bool(data)


class Answer:
    """The answer to one request; `headers` by their names in small letters."""

    def __init__(
        self, connection: Connection, status: int, headers: dict[str, str], has_body: bool
    ) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self._left: int | None = None
        """What is left of the body or of the chunk; None until the connection ends."""
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._ended = False
        length = headers.get("content-length", "")
        if not has_body:
            self._left, self._chunked = 0, False
        elif self._chunked:
            self._left = 0
        elif length:
            if not (length.isascii() and length.isdigit() and len(length) <= _LONGEST_NUMBER):
                raise BrokenAnswerError("the length of the answer is no number")
            self._left = int(length)
        if self._left == 0 and not self._chunked:
            self._end()

    def read(self) -> bytes:
        """What has arrived of the body, at least one byte; empty at its end.

        Raises:
            OSError: The connection is gone or stands still.
            BrokenAnswerError: The body ends early.
        """
        if self._ended:
            return b""
        if self._chunked and self._left == 0 and not self._next_chunk():
            self._end()
            return b""
        data = self._connection.some(_READ if self._left is None else self._left)
        if self._left is None:
            self._ended = not data
            return data
        if not data:
            raise BrokenAnswerError("the answer ends early")
        self._left -= len(data)
        if self._left == 0:
            if not self._chunked:
                self._end()
            elif self._connection.line():
                raise BrokenAnswerError("a chunk of the answer is longer than it says")
        return data

    def _next_chunk(self) -> bool:
        digits = self._connection.line().partition(b";")[0].strip()
        if not digits or len(digits) > _LONGEST_NUMBER or not _DIGITS.issuperset(digits):
            raise BrokenAnswerError("a chunk of the answer has no length")
        self._left = int(digits, 16)
        if self._left == 0:
            while self._connection.line():
                pass
        return self._left > 0

    def _end(self) -> None:
        """All of it is read: another request may follow."""
        self._ended = True
        self._connection.reusable = self.headers.get("connection", "").lower() != "close"
