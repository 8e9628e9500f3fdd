"""Whom to trust over TLS, and who we are there."""

from __future__ import annotations

import os
import ssl

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import AuthenticationFailedError


def trust(credentials: Credentials, *, bundle: bool) -> ssl.SSLContext:
    """The system's authorities and `ca.crt`, and the client certificate if there is one.

    Args:
        credentials: May have `ca.crt`, `tls.crt` and `tls.key`.
        bundle: Whether to read the system's bundle too. That takes 25 ms, and nearly always the
            directory beside it has the same authorities, of which OpenSSL reads the one it needs.

    Raises:
        AuthenticationFailedError: A certificate or key cannot be read.
    """
    context = ssl.create_default_context(capath=None if bundle else _directory())
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


def _directory() -> str | None:
    """The system's directory of authorities, unless the environment names a bundle."""
    paths = ssl.get_default_verify_paths()
    return None if os.environ.get(paths.openssl_cafile_env) else paths.capath


def _unusable(keys: str, credentials: Credentials, error: Exception) -> AuthenticationFailedError:
    return AuthenticationFailedError(
        f"{keys} of Secret {credentials.secret_name} cannot be used: {error}",
        remedy="Store certificates and keys in PEM, a key without a passphrase.",
    )
