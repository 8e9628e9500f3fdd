"""A private certificate authority, made anew for each test run."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from pathlib import Path

import trustme


class Authority:
    """Signs certificates that nobody trusts who was not given `pem`."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.pem = self._authority.cert_pem.bytes().decode()

    def certify(self, context: ssl.SSLContext, *hosts: str) -> None:
        """Give a server's context a certificate for these hosts and for loopback."""
        self._issue(*hosts).configure_cert(context)

    def write_server_pair(self, directory: Path, *hosts: str) -> tuple[Path, Path]:
        """Write a certificate and its key for a server that is not Python; their paths."""
        leaf = self._issue(*hosts)
        certificate, key = directory / "tls.crt", directory / "tls.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return certificate, key

    def client_pair(self, name: str) -> tuple[str, str]:
        """A client's certificate and key, in PEM."""
        leaf = self._authority.issue_cert(f"{name}@example.com", common_name=name)
        return leaf.cert_chain_pems[0].bytes().decode(), leaf.private_key_pem.bytes().decode()

    def require_clients(self, context: ssl.SSLContext) -> None:
        """Make a server's context insist on a client certificate of this authority."""
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(self.pem.encode())
            file.flush()
            context.load_verify_locations(file.name)
        context.verify_mode = ssl.CERT_REQUIRED

    def _issue(self, *hosts: str) -> trustme.LeafCert:
        names = [host for host in hosts if not _is_address(host)]
        addresses = {"127.0.0.1", "::1", *(host for host in hosts if _is_address(host))}
        return self._authority.issue_cert("localhost", *names, *sorted(addresses))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
