"""A real S3 server (versitygw), with keys, HTTPS and public buckets where asked for."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.cluster.binaries import tool
from tests.servers.authority import Authority

ACCESS_KEY = "AKIATESTFLOWOPERATOR"
SECRET_KEY = "s3cr3t%@+/wJalrXUtnFEMIK7MDENGbPxRfiCY"
REGION = "us-east-1"


class S3Server:
    """Runs while its `with` lasts; `url` is the endpoint.

    Args:
        authority: Makes it HTTPS.
        host: The name in URL and certificate.
        address: The address to bind.
        region: What the server calls its region.
    """

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        host: str = "localhost",
        address: str = "127.0.0.1",
        region: str = REGION,
    ) -> None:
        self._authority = authority
        self._directory = tempfile.TemporaryDirectory(prefix="flow-s3-")
        self._process: subprocess.Popen[bytes] | None = None
        self._address = address
        self.region = region
        self.port = _free_port(address)
        self.url = f"{'https' if authority else 'http'}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._directory.cleanup()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        root = Path(self._directory.name)
        (root / "data").mkdir(exist_ok=True)
        (root / "meta").mkdir(exist_ok=True)
        command = [str(tool("versitygw")), "--port", f"{self._address}:{self.port}", "--quiet"]
        command += ["--keep-alive", "--region", self.region]
        if self._authority is not None:
            host = self.url.split("/")[2].partition(":")[0]
            certificate, key = self._authority.write_server_pair(root, host)
            command += ["--cert", str(certificate), "--key", str(key)]
        # The sidecar keeps metadata in files: not every file system of a test has attributes.
        command += ["posix", "--sidecar", str(root / "meta"), str(root / "data")]
        with (root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "ROOT_ACCESS_KEY_ID": ACCESS_KEY,
                    "ROOT_SECRET_ACCESS_KEY": SECRET_KEY,
                },
            )
        self._wait(root / "log")

    def stop(self) -> None:
        """End the process; a second time does nothing."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def create_bucket(self, name: str, *, public: bool = False) -> None:
        """Make a bucket; in a public one anybody may list and read."""
        self.call("PUT", f"/{name}")
        if public:
            allowed = {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:ListBucket", "s3:GetObject"],
                "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
            }
            policy = {"Version": "2012-10-17", "Statement": [allowed]}
            self.call("PUT", f"/{name}", query="policy=", body=json.dumps(policy).encode())

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store an object; a key that ends in a slash is a directory marker."""
        self.call("PUT", f"/{bucket}/{quote(key)}", body=body)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object."""
        self.call("DELETE", f"/{bucket}/{quote(key)}")

    def call(self, method: str, path: str, *, query: str = "", body: bytes = b"") -> bytes:
        """One signed request; an answer that is no success is an error."""
        host = f"{self._address}:{self.port}"
        headers = _signed(method, host, path, query, body, self.region)
        connection: http.client.HTTPConnection
        if self._authority is not None:
            context = ssl.create_default_context(cadata=self._authority.pem)
            connection = http.client.HTTPSConnection(self._address, self.port, context=context)
        else:
            connection = http.client.HTTPConnection(self._address, self.port)
        try:
            target = path + (f"?{query}" if query else "")
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()}")
        return answer

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + 20
        while True:
            assert self._process is not None
            try:
                socket.create_connection((self._address, self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"versitygw did not start:\n{log.read_text()}") from None
                time.sleep(0.02)
            else:
                return


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _signed(
    method: str, host: str, path: str, query: str, body: bytes, region: str
) -> Mapping[str, str]:
    """The headers of AWS's signature version 4."""
    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join([method, path, query, lines, names, digest])
    scope = f"{day}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashed])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return {**headers, "Authorization": authorization}
