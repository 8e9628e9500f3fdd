"""pkt-line, the framing of git's protocol, and the side band that a pack travels in.

See gitprotocol-common(5) and gitprotocol-pack(5) in git's documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flow_fetcher.errors import FetchError, SourceUnreachableError

FLUSH, DELIMITER, RESPONSE_END = "flush", "delimiter", "response-end"
"""The packets that carry no data."""

_SPECIAL = {0: FLUSH, 1: DELIMITER, 2: RESPONSE_END}
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
_LONGEST_ERROR = 2000


class UnexpectedAnswerError(SourceUnreachableError):
    """The server said something that this protocol does not foresee; another version may do."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(
            message,
            transient=transient,
            remedy="Check that the URL is the one for `git clone`, and that no proxy changes what "
            "passes.",
        )


class RemoteError(FetchError):
    """The server refused in words."""


def packet(data: str) -> bytes:
    """One line as a packet."""
    raw = data.encode()
    return b"%04x%s" % (len(raw) + 4, raw)


class PacketReader:
    """Reads packets from a stream.

    Args:
        read: Returns the next bytes, as many as there are; empty at the end.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._buffer = b""
        self._position = 0

    def packet(self) -> bytes | str:
        """The next packet: its data, or one of the three that have none.

        Raises:
            UnexpectedAnswerError: The stream has ended, or holds something else.
            RemoteError: The packet is an error message.
        """
        head = self._take(4)
        if not _HEXADECIMAL.issuperset(head):
            raise UnexpectedAnswerError(f"the server does not speak git's protocol: {head!r}")
        length = int(head, 16)
        if length < 4:
            if length == 3:
                raise UnexpectedAnswerError("the server sent a packet of an unknown kind")
            return _SPECIAL[length]
        data = self._take(length - 4)
        if data.startswith(b"ERR "):
            raise RemoteError(_text(data[4:]))
        return data

    def lines(self) -> Iterator[bytes]:
        """The packets up to the next one without data, each without its line feed."""
        while isinstance(data := self.packet(), bytes):
            yield data.removesuffix(b"\n")

    def side_band(self, tell: Callable[[str], None]) -> Iterator[bytes]:
        """The content of the first band, up to a flush packet.

        Args:
            tell: Takes what the server says beside it.

        Raises:
            SourceUnreachableError: The stream ended early, or the server gave up.
        """
        try:
            while isinstance(data := self.packet(), bytes):
                band = data[:1]
                if band == b"\x01":
                    yield data[1:]
                elif band == b"\x02":
                    tell(_text(data[1:]))
                elif band == b"\x03":
                    raise SourceUnreachableError(
                        f"the server gave up while sending: {_text(data[1:])}",
                        remedy="Look at the git server's log.",
                        transient=True,
                    )
        except UnexpectedAnswerError as error:
            raise SourceUnreachableError(
                f"{error.message} (while it sent the pack)",
                remedy="The connection broke, or a proxy changes what passes; try again.",
                transient=True,
            ) from error

    def rest(self) -> Iterator[bytes]:
        """Everything that follows, as it is."""
        yield self._buffer[self._position :]
        while data := self._read():
            yield data

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._buffer):
            pieces = [self._buffer[self._position :]]
            missing = size - len(pieces[0])
            while missing > 0:
                piece = self._read()
                if not piece:
                    raise UnexpectedAnswerError("the server ended its answer early", transient=True)
                pieces.append(piece)
                missing -= len(piece)
            self._buffer = b"".join(pieces)
            self._position, end = 0, size
        data = self._buffer[self._position : end]
        self._position = end
        return data


def _text(raw: bytes) -> str:
    return raw[:_LONGEST_ERROR].decode("utf-8", "replace").strip()
