"""What this machine lends to containers in place of their images."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

PASSED_ON = (
    # How to get out of this network: a container in the cluster has its own way.
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    # Which certificate authorities this machine trusts, where it says so.
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""The only variables of the user's shell that a container sees. No credentials are among them: code
that needs some fails here as it does in the cluster, until the manifest names them."""


@dataclass(frozen=True)
class Host:
    """How programs of the images are found here.

    Attributes:
        python: The interpreter that stands for `python3` of the user's image.
        environment: The variables of the user's shell.
    """

    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def base_environment(self) -> dict[str, str]:
        """Return what an image sets: PATH, with the interpreter's own programs first, and LANG."""
        path = self.environment.get("PATH") or os.defpath
        passed = {name: self.environment[name] for name in PASSED_ON if name in self.environment}
        own = str(Path(self.python).parent)
        return {"PATH": os.pathsep.join([own, path]), "LANG": "C.UTF-8", **passed}

    def command(self, argv: list[str]) -> list[str]:
        """Return the command as this machine starts it: its fetcher, its Python."""
        if argv[0] == "flow-fetcher":
            return [sys.executable, "-m", "flow_fetcher", *argv[1:]]
        if argv[0] in ("python", "python3"):
            return [self.python, *argv[1:]]
        return argv
