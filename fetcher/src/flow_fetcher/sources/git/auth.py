"""Which Authorization header a repository's server gets."""

from __future__ import annotations

from binascii import b2a_base64

from flow_fetcher.credentials import Credentials
from flow_fetcher.sources.git.spec import GitSpec

WANTED_KEYS = (
    "keys `username` and `password`, or `token`, or `bearerToken`; "
    "`ca.crt` for a private certificate authority, `tls.crt` and `tls.key` for a client certificate"
)

TOKEN_USERNAMES = {
    "github": "x-access-token",
    "gitlab": "oauth2",
    "bitbucket": "x-token-auth",
    "generic": "x-access-token",
}
"""The user name that goes with a bare token.

Hosts that are none of these (Gitea, Forgejo, Azure DevOps, GitHub Enterprise under any name) take a
token as password with any user name, or with GitHub's.
"""


def authorization(spec: GitSpec, credentials: Credentials) -> str | None:
    """The header's value, or None for an anonymous request.

    Raises:
        SecretNotFoundError: A Secret was asked for and has none of the keys that would do.
        AuthenticationFailedError: A value cannot stand in a header.
    """
    credentials.require(
        WANTED_KEYS,
        ("password",),
        ("token",),
        ("bearerToken",),
        ("ca.crt",),
        ("tls.crt", "tls.key"),
    )
    bearer = credentials.line("bearerToken")
    if bearer:
        return f"Bearer {bearer}"
    secret = credentials.line("password") or credentials.line("token")
    if not secret:
        # A user name alone is no credential, and the Secret may be there for its certificate.
        return None
    user = (
        credentials.line("username") or TOKEN_USERNAMES[spec.provider or guess_provider(spec.host)]
    )
    return "Basic " + b2a_base64(f"{user}:{secret}".encode(), newline=False).decode()


def guess_provider(host: str) -> str:
    """The kind of host that a name stands for: `gitlab.example.com` is a GitLab."""
    labels = host.lower().split(".")
    if labels[-2:] == ["ghe", "com"]:
        return "github"
    for provider in ("github", "gitlab", "bitbucket"):
        if provider in labels:
            return provider
    return "generic"
