"""Whom to trust over TLS, and who we are there."""

from __future__ import annotations

import ssl

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError


def trust(credentials: Credentials) -> ssl.SSLContext:
    """The system's authorities and `ca.crt`, and the client certificate if there is one.

    Raises:
        AuthenticationFailedError: A certificate or key cannot be read.
    """
    context = ssl.create_default_context()
    # As git and curl do, whatever Python's version: private authorities often leave extensions out
    # that RFC 5280 wants, and an intermediate certificate in `ca.crt` is trusted by itself.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    authority = credentials.get("ca.crt")
    if authority:
        try:
            context.load_verify_locations(cadata=authority)
        except (ssl.SSLError, ValueError) as error:
            raise _unusable("ca.crt", credentials, error) from error
    certificate, key = credentials.file("tls.crt"), credentials.file("tls.key")
    if certificate and key:
        try:
            # Without this, OpenSSL would ask for a passphrase on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise _unusable("tls.crt and tls.key", credentials, error) from error
    return context


def _unusable(keys: str, credentials: Credentials, error: Exception) -> AuthenticationFailedError:
    return AuthenticationFailedError(
        f"{keys} of Secret {credentials.secret_name} cannot be used: {error}",
        remedy="Store certificates and keys in PEM, a key without a passphrase.",
    )
