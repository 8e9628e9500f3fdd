"""HTTP/1.1 as servers speak it, well and badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_fetcher.sources.git.wire import BrokenAnswerError, Connection

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[list[bytes]], Connection]]:
    """Connects to a server that sends these pieces, whatever it is asked, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run(pieces: list[bytes]) -> None:
            peer, _ = listener.accept()
            with peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.recv(1 << 16)
                for piece in pieces:
                    peer.sendall(piece)

        def connect(pieces: list[bytes]) -> Connection:
            threading.Thread(target=run, args=(pieces,), daemon=True).start()
            return Connection("127.0.0.1", listener.getsockname()[1], 5)

        yield connect


def read(connection: Connection) -> tuple[int, bytes]:
    try:
        answer = connection.request("GET", "/", {"Host": "h"})
        body = b""
        while piece := answer.read():
            body += piece
        return answer.status, body
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("raw", "body", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
        (b"HTTP/1.1 200\ncontent-length:3\n\nabc", b"abc", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", b"a", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", b"a", True),
        (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
         b"abc", True),
        (CHUNKED + b"1\r\na\r\n0\r\nT: x\r\n\r\n", b"a", True),
    ],
)  # fmt: skip
def test_bodies(
    serve: Callable[[list[bytes]], Connection], raw: bytes, body: bytes, reusable: bool
) -> None:
    """Every way to frame a body, and whether another request may follow."""
    connection = serve([raw])
    assert read(connection) == (200, body)
    assert connection.reusable is reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"-1\r\n",
        CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"A" * 40000,
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(1000)),
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_broken(serve: Callable[[list[bytes]], Connection], raw: bytes) -> None:
    """What is no HTTP, or ends early, is an error and never a short body."""
    with pytest.raises((BrokenAnswerError, ConnectionResetError)):
        read(serve([raw]))


def test_nothing_at_all(serve: Callable[[list[bytes]], Connection]) -> None:
    """A server that closes the connection may be asked again."""
    with pytest.raises(ConnectionResetError):
        read(serve([]))


def test_header_with_a_line_break(serve: Callable[[list[bytes]], Connection]) -> None:
    """No value can add a header."""
    with pytest.raises(ValueError, match="line break"):
        serve([]).request("GET", "/", {"Host": "h\r\nX: y"})


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=2000), data=st.data())
def test_any_chunks_in_any_pieces(
    serve: Callable[[list[bytes]], Connection], body: bytes, data: st.DataObject
) -> None:
    """However a server cuts a body, and the network the stream, the body is the same."""

    def cut(raw: bytes) -> list[bytes]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
        return [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True) if a < b]

    raw = CHUNKED
    raw += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in cut(body))
    assert read(serve(cut(raw + b"0\r\n\r\n"))) == (200, body)
