"""A real server of Azure's blob protocol (Azurite), with account keys, shared access signatures and
public containers."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import hmac
import http.client
import os
import shutil
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.cluster.console import ClusterError, run, step
from tests.cluster.paths import cache
from tests.cluster.system import lock
from tests.servers.authority import Authority
from tests.servers.process import Process

ACCOUNT = "acmeflows"
KEY = base64.b64encode(hashlib.sha512(b"a key of the tests").digest()).decode()

_VERSION = "2023-11-03"
_PINS = Path(__file__).with_name("azurite")


class AzureServer(Process):
    """Runs while its `with` lasts; `url` is the endpoint of its account.

    Args:
        authority: Makes it HTTPS, which tokens need.
    """

    def __init__(self, *, authority: Authority | None = None) -> None:
        super().__init__()
        self._authority = authority
        self.url = f"{'https' if authority else 'http'}://{self.host}:{self.port}/{ACCOUNT}"

    def command(self) -> Sequence[str]:
        """Everything is in memory."""
        options = ["--blobHost", self.address, "--blobPort", str(self.port), "--silent"]
        options += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
        if self._authority is not None:
            certificate, key = self._authority.write_server_pair(self.folder, self.host)
            options += ["--cert", str(certificate), "--key", str(key), "--oauth", "basic"]
        return ["node", str(azurite()), *options]

    def environment(self) -> dict[str, str]:
        """The one account."""
        return {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}

    @property
    def connection_string(self) -> str:
        """As Azure's portal shows it."""
        scheme = self.url.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={scheme};AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.url};"
        )

    def create_container(self, name: str, *, public: bool = False) -> None:
        """Make a container; in a public one anybody may list and read."""
        headers = {"x-ms-blob-public-access": "container"} if public else {}
        self.call("PUT", f"/{name}", {"restype": "container"}, headers=headers)

    def put(self, container: str, key: str, body: bytes) -> None:
        """Store a blob."""
        path = f"/{container}/{quote(key)}"
        self.call("PUT", path, body=body, headers={"x-ms-blob-type": "BlockBlob"})

    def sas(self, container: str) -> str:
        """A shared access signature that may list and read one container for an hour."""
        expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        end = expiry.strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = ["rl", "", end, f"/blob/{ACCOUNT}/{container}", "", "", "", "2020-12-06", "c"]
        text = "\n".join([*fields, *[""] * 7])
        signature = _signature(text)
        token = {"sp": "rl", "se": end, "sv": "2020-12-06", "sr": "c", "sig": signature}
        return urlencode(token)

    def call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """One signed request; an answer that is no success is an error."""
        now = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        sent = {"x-ms-date": now, "x-ms-version": _VERSION, **(headers or {})}
        lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
        where = f"/{ACCOUNT}/{ACCOUNT}{path}"
        where += "".join(f"\n{name}:{value}" for name, value in sorted((query or {}).items()))
        length = str(len(body)) if body else ""
        text = "\n".join([method, "", "", length, *[""] * 8, lines + where])
        sent["Authorization"] = f"SharedKey {ACCOUNT}:{_signature(text)}"
        connection: http.client.HTTPConnection
        if self._authority is not None:
            context = ssl.create_default_context(cadata=self._authority.pem)
            connection = http.client.HTTPSConnection(self.address, self.port, context=context)
        else:
            connection = http.client.HTTPConnection(self.address, self.port)
        try:
            target = f"/{ACCOUNT}{path}" + (f"?{urlencode(query)}" if query else "")
            connection.request(method, target, body or None, sent)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()}")
        return answer


@functools.cache
def azurite() -> Path:
    """Azurite's program, installed from npm at the pinned versions if it is not there yet.

    Raises:
        ClusterError: There is no npm, or it failed.
    """
    pins = [_PINS / "package.json", _PINS / "package-lock.json"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()[:12]
    folder = cache() / "npm" / f"azurite-{digest}"
    program = folder / "node_modules/azurite/dist/src/blob/main.js"
    with lock("npm-azurite"):
        if program.exists():
            return program
        if not shutil.which("npm"):
            raise ClusterError("Azurite is installed by npm: install Node.js 20 or newer with npm")
        log = cache() / "log" / "npm.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_suffix(".tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for path in pins:
            shutil.copy(path, unfinished)
        with step("install Azurite from npm"):
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            run(command, cwd=unfinished, env={**os.environ, "CI": "true"}, log=log)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return program


def _signature(text: str) -> str:
    key = base64.b64decode(KEY)
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
