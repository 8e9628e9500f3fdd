"""Object stores to fetch from, each a server on loopback: S3 is versitygw, Google's and Azure's are
one small server of the bench, for their emulators are slower than any client.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.bench import build, content
from tests.bench.places import HERE, BenchError, once, sources
from tests.cluster.binaries import tool
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY

BUCKET = "flows"
SETS = {"o20": 20, "o2000": 2_000, "o10000": 10_000}
"""Prefix → number of objects."""
LARGE = "large"
"""The prefix of one large object."""

_START = 120.0
_LARGE_SIZE = 200_000_000
_AZURE_ACCOUNT = "benchaccount"
_AZURE_KEY = base64.b64encode(hashlib.sha512(b"bench").digest()).decode()


def objects() -> Path:
    """A directory with all objects as files, a directory for each prefix."""

    def make(folder: Path) -> None:
        for prefix, count in SETS.items():
            writer = content.Writer(prefix)
            for path in content.paths(count, 40):
                file = folder / prefix / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(writer.file())
        large = folder / LARGE / "model.bin"
        large.parent.mkdir()
        random = content.Writer(LARGE).random
        with large.open("wb") as file:
            for _ in range(_LARGE_SIZE // 1_000_000):
                file.write(random.randbytes(1_000_000))

    recipe = [*sources(HERE, "content.py"), json.dumps(SETS).encode(), b"%d" % _LARGE_SIZE]
    return once("objects", "objects", recipe, make)


class Store(ABC):
    """One server with one bucket; runs while its `with` lasts.

    Attributes:
        kind: The fetcher's name for such a source.
        port: Where it listens on 127.0.0.1.
        environment: What rclone needs to know of it as the remote `bench`; a port is filled in.
        secret: What the Secret for the fetcher holds.
    """

    kind: ClassVar[str]
    environment: ClassVar[Mapping[str, str]]
    secret: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        self._kept = once(
            "stores", self.kind, [str(objects()).encode(), self._recipe()], self._fill
        )
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _recipe(self) -> bytes:
        """What decides about the kept data, beside the objects."""

    @abstractmethod
    def _command(self, folder: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
        """The server's command line and additional environment."""

    @abstractmethod
    def source(self, endpoint: str, prefix: str) -> dict[str, Any]:
        """The `source` of a plan."""

    def __enter__(self) -> Self:
        self._start(self._kept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def rclone(self, port: int) -> dict[str, str]:
        """The environment in which rclone knows this store as `bench:`."""
        settings = {f"RCLONE_CONFIG_BENCH_{k}": v for k, v in self.environment.items()}
        return {name: value.replace("PORT", str(port)) for name, value in settings.items()}

    def _fill(self, folder: Path) -> None:
        self._start(folder)
        try:
            env = {"PATH": os.environ["PATH"], "HOME": str(folder), **self.rclone(self.port)}
            rclone = [build.program("rclone"), "--config", "", "--transfers", "8"]
            # One request for each object: an ETag is then the MD5 of the content.
            whole = ["--s3-upload-cutoff", "1G"] if self.kind == "s3" else []
            for step in (["mkdir"], ["copy", *whole, objects(), "--exclude", ".complete"]):
                target = f"bench:{BUCKET}"
                subprocess.run([*rclone, *step, target], env=env, check=True)
        finally:
            self._stop()

    def _start(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command, env = self._command(folder, self.port)
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
            )
        deadline = time.monotonic() + _START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (folder / "log").read_text(errors="replace")[-2000:]
                raise BenchError(f"the {self.kind} server did not start:\n{tail}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether it says anything: one that still loads its objects takes connections already."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


class S3(Store):
    """versitygw, an S3 gateway over a directory, written in Go."""

    kind = "s3"
    secret: ClassVar = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    environment: ClassVar = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ACCESS_KEY_ID": ACCESS_KEY,
        "SECRET_ACCESS_KEY": SECRET_KEY,
        "REGION": REGION,
        "ENDPOINT": "http://127.0.0.1:PORT",
    }

    def source(self, endpoint: str, prefix: str) -> dict[str, Any]:
        """The `source` of a plan."""
        s3 = {"bucket": BUCKET, "prefix": prefix, "endpoint": endpoint, "insecure": True}
        return {"type": "s3", "s3": s3}

    def _recipe(self) -> bytes:
        return tool("versitygw").parent.name.encode()

    def _command(self, folder: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
        for name in ("data", "meta"):
            (folder / name).mkdir(exist_ok=True)
        command: list[str | Path] = [tool("versitygw"), "--port", f"127.0.0.1:{port}", "--quiet"]
        command += ["--keep-alive", "--region", REGION, "posix"]
        keys = {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY}
        return [*command, "--sidecar", folder / "meta", folder / "data"], keys


class GCS(Store):
    """The bench's own server in Go: it reads the objects when it starts."""

    kind = "gcs"
    secret: ClassVar = {}
    environment: ClassVar = {
        "TYPE": "google cloud storage",
        "ANONYMOUS": "true",
        "ENDPOINT": "http://127.0.0.1:PORT/storage/v1/",
    }

    def source(self, endpoint: str, prefix: str) -> dict[str, Any]:
        """The `source` of a plan."""
        gcs = {"bucket": BUCKET, "prefix": prefix, "endpoint": endpoint, "insecure": True}
        return {"type": "gcs", "gcs": gcs}

    def _fill(self, folder: Path) -> None:
        """Nothing is kept."""

    def _recipe(self) -> bytes:
        return b""

    def _command(self, folder: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
        listen = ["-listen", f"127.0.0.1:{port}"]
        return [build.program("buckets"), "-root", objects(), *listen], {}


class Azure(GCS):
    """The same, with Azure's protocol."""

    kind = "azure"
    secret: ClassVar = {"AZURE_STORAGE_ACCOUNT_KEY": _AZURE_KEY}
    environment: ClassVar = {
        "TYPE": "azureblob",
        "ACCOUNT": _AZURE_ACCOUNT,
        "KEY": _AZURE_KEY,
        "ENDPOINT": f"http://127.0.0.1:PORT/{_AZURE_ACCOUNT}",
    }
    account = _AZURE_ACCOUNT
    key = _AZURE_KEY

    def source(self, endpoint: str, prefix: str) -> dict[str, Any]:
        """The `source` of a plan."""
        azure = {
            "account": _AZURE_ACCOUNT,
            "container": BUCKET,
            "prefix": prefix,
            "endpoint": f"{endpoint}/{_AZURE_ACCOUNT}",
            "insecure": True,
        }
        return {"type": "azure", "azure": azure}

    def _command(self, folder: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
        command, env = super()._command(folder, port)
        return [*command, "-azure", _AZURE_ACCOUNT], env


STORES: dict[str, Callable[[], Store]] = {"s3": S3, "gcs": GCS, "azure": Azure}
