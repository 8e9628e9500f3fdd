"""How the protocol reaches a server: what HTTP and SSH have in common."""

from __future__ import annotations

from flow_fetcher.sources.git.pktline import PacketReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Transport(Protocol):
    """One repository on one server.

    Attributes:
        stateless: Whether each request stands alone, so that one may be a guess. Otherwise the
            server tells what it offers first, and requests and answers follow on one stream.
    """

    stateless: bool

    @property
    def url(self) -> str:
        """What to call it in messages."""

    def advertise(self) -> PacketReader:
        """Ask what the server offers, on a new connection where that takes one.

        Raises:
            FetchError: The server cannot be reached, or refuses.
        """

    def request(self, body: bytes, *, version: int, guess: bool) -> PacketReader:
        """Send a request; its answer.

        Args:
            body: Packets.
            version: The protocol that they belong to.
            guess: Whether the server has not said yet that it speaks that.

        Raises:
            UnexpectedAnswerError: The guess was wrong.
            FetchError: The server cannot be reached, or refuses.
        """

    def finish(self, reader: PacketReader) -> None:
        """Let go of an answer of which no more is needed, so that another request may follow."""

    def close(self) -> None:
        """Drop the connection."""
