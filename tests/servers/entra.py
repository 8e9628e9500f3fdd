"""What Azure's identity service (Entra ID) says to a service principal, and to a Pod with workload
identity: tokens for a secret, or for a token of the cluster."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.authority import Authority
from tests.servers.web import Handler, Server

TENANT = "7d6b0a2e-0000-4000-8000-00000000000a"
CLIENT = "1f9c33d4-0000-4000-8000-00000000000b"
SECRET = "s3cret~of-the.principal_8Q"
FEDERATED = "eyJhbGciOiJSUzI1NiJ9.a-token-of-the-cluster.c2ln"

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SCOPE = "https://storage.azure.com/.default"


class Entra(Server):
    """Knows one client of one tenant; runs while its `with` lasts.

    Args:
        authority: Makes it HTTPS, as clients insist on.

    Attributes:
        granted: How the client of each token said who it is: `secret` or `assertion`.
    """

    def __init__(self, authority: Authority) -> None:
        super().__init__(_EntraHandler, authority=authority)
        self.granted: list[str] = []


class _EntraHandler(Handler):
    def do_POST(self) -> None:
        server = self.server.owner
        assert isinstance(server, Entra)
        form = {name: values[0] for name, values in parse_qs(self.body().decode()).items()}
        how = _identified(form)
        if urlsplit(self.path).path != f"/{TENANT}/oauth2/v2.0/token":
            self._refuse(400, "invalid_request", "AADSTS90002: Tenant not found.")
        elif form.get("grant_type") != "client_credentials" or form.get("scope") != _SCOPE:
            self._refuse(400, "invalid_scope", f"AADSTS70011: scope {form.get('scope')!r}.")
        elif form.get("client_id") != CLIENT or how is None:
            self._refuse(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        else:
            server.granted.append(how)
            answer = {"token_type": "Bearer", "expires_in": 3599, "access_token": _token()}
            self.answer(200, json.dumps(answer), Content_Type="application/json")

    def _refuse(self, status: int, error: str, description: str) -> None:
        answer = {"error": error, "error_description": description}
        self.answer(status, json.dumps(answer), Content_Type="application/json")


def _identified(form: dict[str, str]) -> str | None:
    if form.get("client_secret") == SECRET:
        return "secret"
    kind, assertion = form.get("client_assertion_type"), form.get("client_assertion")
    return "assertion" if (kind, assertion) == (_ASSERTION, FEDERATED) else None


def _token() -> str:
    """What Azurite takes: it looks at everything in a token but its signature."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "appid": CLIENT,
    }
    parts: list[Any] = [{"alg": "RS256", "typ": "JWT"}, claims, "not looked at"]
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return b".".join(encoded).decode()
