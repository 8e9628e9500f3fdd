"""An HTTP proxy that knows CONNECT alone, and may want a password."""

from __future__ import annotations

import base64
import socket
import threading
from typing import Self
from urllib.parse import unquote


class Tunnel:
    """Runs while its `with` lasts.

    Args:
        user: `name:password`, URL-encoded, that clients must give; anybody may pass where empty.
        refuse: Let nobody through, and only note who wants to go where.

    Attributes:
        asked: `host:port` of every request that was not refused for its password.
    """

    def __init__(self, user: str = "", *, refuse: bool = False) -> None:
        self._wanted = b"Basic " + base64.b64encode(unquote(user).encode()) if user else b""
        self._refuse = refuse
        self.asked: list[str] = []
        self.was_asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        target = head.split()[1].decode()
        if self._wanted not in head:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        self.asked.append(target)
        self.was_asked.set()
        if self._refuse:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            client.close()
            return
        host, _, port = target.rpartition(":")
        upstream = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pump, args=(upstream, client), daemon=True).start()
        self._pump(client, upstream)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
