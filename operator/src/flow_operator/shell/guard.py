"""The last word before a write leaves: a body that asks once more whether it still may."""

from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from flow_operator.shell.errors import NotLeaderError


class GuardedBody(aiohttp.BytesPayload):
    """A body that leaves, and the header with it, only if the sender may still write then.

    aiohttp keeps the header back until the first bytes of the body are there, and hands both to the
    socket in one piece. This is therefore the last moment that there is: the connection is made,
    credentials and TLS are done with, and nothing is awaited between the question and the socket.
    What cannot be seen from here, a request that is on its way for long, meets the names and
    resourceVersions of whoever wrote meanwhile.

    Attributes:
        refused: Whether it was not sent.
    """

    def __init__(self, text: bytes, may_write: Callable[[], bool]) -> None:
        super().__init__(text)
        self._may_write = may_write
        self.refused = False

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Write it, or fail before the first byte."""
        self.refused = not self._may_write()
        if self.refused:
            raise NotLeaderError
        await super().write_with_length(writer, content_length)
