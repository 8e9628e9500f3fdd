"""A real server of Google's storage protocol (fake-gcs-server), and a gate before it that asks for
a service account's signature, as Google does."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.cluster.binaries import tool
from tests.servers.authority import Authority
from tests.servers.process import Process
from tests.servers.web import Handler, Server

EMAIL = "flows@acme.iam.gserviceaccount.com"


class Store(Process):
    """fake-gcs-server; it lets everybody in."""

    def command(self) -> list[str]:
        """Everything is in memory."""
        return [
            str(tool("fake-gcs-server")), "-scheme", "http", "-backend", "memory",
            "-host", self.address, "-port", str(self.port), "-log-level", "error",
            "-public-host", f"{self.address}:{self.port}",
        ]  # fmt: skip

    def call(self, method: str, path: str, body: bytes = b"", kind: str = "text/plain") -> bytes:
        """One request to Google's JSON API."""
        connection = http.client.HTTPConnection(self.address, self.port)
        try:
            connection.request(method, path, body, {"Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()}")
        return answer


class GCSServer:
    """The store behind its gate; `url` is the endpoint.

    Args:
        authority: Makes it HTTPS.
    """

    def __init__(self, *, authority: Authority | None = None) -> None:
        self._store = Store()
        self._gate = _Gate(self._store, authority)
        self.url = self._gate.url
        self.requests = self._gate.requests
        self.account = self._gate.account

    def __enter__(self) -> Self:
        self._store.__enter__()
        self._gate.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.__exit__()
        self._store.__exit__()

    @property
    def key(self) -> str:
        """The service account's key, as Google hands it out."""
        return json.dumps(self.account, indent=2)

    @property
    def tokens(self) -> set[str]:
        """Access tokens that the gate takes too, as a metadata server gives them."""
        return self._gate.tokens

    def create_bucket(self, name: str, *, public: bool = False) -> None:
        """Make a bucket; in a public one anybody may list and read."""
        body = json.dumps({"name": name}).encode()
        self._store.call("POST", "/storage/v1/b?project=acme", body, "application/json")
        self._gate.buckets[name] = public

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store an object."""
        where = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}"
        self._store.call("POST", where, body)


class _Gate(Server):
    def __init__(self, store: Store, authority: Authority | None) -> None:
        super().__init__(_GateHandler, authority=authority)
        self.store = store
        self.buckets: dict[str, bool] = {}
        self.tokens: set[str] = set()
        self.secret = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = self.secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.account: dict[str, Any] = {
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.example.com/o/oauth2/auth",
            "token_uri": "https://oauth2.example.com/token",
        }

    def lets_in(self, authorization: str) -> bool:
        """Whether a header carries a token of ours, or one that our service account signed."""
        token = authorization.removeprefix("Bearer ")
        if token in self.tokens:
            return True
        signed, _, signature = token.rpartition(".")
        try:
            self.secret.public_key().verify(
                _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            return json.loads(_decoded(signed.partition(".")[2]))["iss"] == EMAIL
        except (InvalidSignature, ValueError, KeyError):
            return False


class _GateHandler(Handler):
    def do_GET(self) -> None:
        gate = self.server.owner
        assert isinstance(gate, _Gate)
        parts = urlsplit(self.path)
        bucket = unquote(_bucket(parts.path))
        authorization = self.headers.get("Authorization", "")
        if authorization and not gate.lets_in(authorization):
            self._refuse(401, "AuthenticationRequired", "Invalid Credentials")
        elif bucket not in gate.buckets:
            self._refuse(404, "NoSuchBucket", "The specified bucket does not exist.")
        elif not authorization and not gate.buckets[bucket]:
            self._refuse(403, "AccessDenied", "Anonymous caller does not have storage access.")
        else:
            self._forward(gate.store)

    def _refuse(self, status: int, code: str, message: str) -> None:
        text = (
            f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
        self.answer(status, text, Content_Type="application/xml")

    def _forward(self, store: Store) -> None:
        kept = ("range", "if-match", "accept")
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        connection = http.client.HTTPConnection(store.address, store.port)
        connection.request("GET", self.path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()


def _bucket(path: str) -> str:
    """The bucket of a path of the XML API or of the JSON API."""
    parts = path.strip("/").split("/")
    return parts[parts.index("b") + 1] if "storage" in parts and "b" in parts else parts[0]


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Metadata(Server):
    """What Google's metadata server says to a Pod with workload identity.

    Args:
        token: The access token that it gives.
    """

    def __init__(self, token: str) -> None:
        super().__init__(_MetadataHandler)
        self.token = token


class _MetadataHandler(Handler):
    def do_GET(self) -> None:
        server = self.server.owner
        assert isinstance(server, Metadata)
        if self.headers.get("Metadata-Flavor") != "Google" or parse_qs(urlsplit(self.path).query):
            self.answer(403)
            return
        answer = {"access_token": server.token, "expires_in": 3599, "token_type": "Bearer"}
        self.answer(200, json.dumps(answer), Content_Type="application/json")
