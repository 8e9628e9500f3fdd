"""The fetcher as the kubelet starts it: a process with a plan, a mounted Secret and a volume."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flow_fetcher.fetch import fetch
from flow_fetcher.log import Log, Report
from flow_fetcher.plan import parse_plan
from flow_fetcher.redact import Redactor
from flow_fetcher.sources.git.http import Timeouts
from tests.servers.authority import Authority
from tests.servers.azure import AzureServer
from tests.servers.gcs import GCSServer
from tests.servers.s3 import S3Server


@dataclass
class Result:
    """How one start of the fetcher ended."""

    code: int
    message: dict[str, Any]
    log: str
    volume: Path

    @property
    def reason(self) -> str:
        return str(self.message.get("reason"))

    @property
    def text(self) -> str:
        """Everything that the user is told."""
        return f"{self.message.get('message')} | {self.message.get('remedy')}"

    @property
    def tree(self) -> Path:
        return self.volume / "src"

    def files(self) -> dict[str, bytes]:
        """Relative path → content of every regular file of the tree."""
        return {
            path.relative_to(self.tree).as_posix(): path.read_bytes()
            for path in sorted(self.tree.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


@dataclass
class Fetcher:
    """Starts the fetcher, each time on the same directory unless told otherwise."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def plan(self, source: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """A plan of version 1."""
        run = {"namespace": "data", "name": "etl-x1", "uid": "u1", "deployment": "etl"}
        return {"version": 1, "run": {**run, "attempt": 1}, "source": source, **fields}

    def __call__(
        self,
        source: Mapping[str, Any],
        *,
        secret: Mapping[str, str] | None = None,
        volume: str = "flow",
        timeout: float = 60,
        **fields: Any,
    ) -> Result:
        """Run to the end."""
        process = self.start(source, secret=secret, volume=volume, **fields)
        _, log = process.communicate(timeout=timeout)
        return self.result(process.returncode, log, volume)

    def start(
        self,
        source: Mapping[str, Any],
        *,
        secret: Mapping[str, str] | None = None,
        volume: str = "flow",
        **fields: Any,
    ) -> subprocess.Popen[str]:
        """Start and do not wait."""
        if secret is not None:
            fields.setdefault("secretName", "code-access")
            self._mount(secret)
        plan = self.directory / "plan.json"
        plan.write_text(json.dumps(self.plan(source, **fields)))
        (self.directory / volume).mkdir(exist_ok=True)
        (self.directory / "termination-log").write_text("")
        command = [sys.executable, "-m", "flow_fetcher", "fetch", "--plan", str(plan)]
        command += ["--credentials", str(self.directory / "credentials")]
        command += ["--volume", str(self.directory / volume)]
        command += ["--termination-log", str(self.directory / "termination-log")]
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **self.environment},
        )

    def terminate(self, process: subprocess.Popen[str]) -> Result:
        """Send SIGTERM to a fetch that waits; it ends at once."""
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
        assert time.monotonic() - start < 1
        return self.result(process.returncode, log)

    def result(self, code: int, log: str, volume: str = "flow") -> Result:
        """What a process left behind."""
        raw = (self.directory / "termination-log").read_bytes()
        assert len(raw) <= 4096
        return Result(code, json.loads(raw or b"{}"), log, self.directory / volume)

    def _mount(self, secret: Mapping[str, str]) -> None:
        """A Secret as the kubelet mounts it: links to links, so that it can change at once."""
        mounted = self.directory / "credentials"
        data = mounted / "..2026_11_22"
        if not mounted.exists():
            data.mkdir(parents=True)
            (mounted / "..data").symlink_to(data.name)
        for key, value in secret.items():
            (data / key).write_text(value)
            (mounted / key).symlink_to(f"..data/{key}")


@dataclass
class InProcess:
    """Fetches within the test's process, where waiting can be made short."""

    directory: Path
    log: io.StringIO = field(default_factory=io.StringIO)

    def __call__(
        self,
        source: Mapping[str, Any],
        *,
        patience: float = 20.0,
        timeouts: Timeouts | None = None,
        secret: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Run to the end; the message of success."""
        credentials = self.directory / "credentials"
        if secret is not None:
            fields["secretName"] = "code-access"
            credentials.mkdir(exist_ok=True)
            for key, value in secret.items():
                (credentials / key).write_text(value)
        raw = json.dumps({"version": 1, "source": source, **fields}).encode()
        volume = self.directory / "flow"
        volume.mkdir(exist_ok=True)
        redactor = Redactor()
        with pytest.MonkeyPatch.context() as patch:
            if timeouts is not None:
                patch.setattr("flow_fetcher.sources.git.source.TIMEOUTS", timeouts)
            return fetch(
                parse_plan(raw),
                credentials=credentials,
                volume=volume,
                log=Log(redactor, stream=self.log, debug=True),
                redactor=redactor,
                report=Report(),
                patience=patience,
            )


@pytest.fixture
def in_process(tmp_path: Path) -> InProcess:
    return InProcess(tmp_path)


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path)


@pytest.fixture
def new_fetcher(tmp_path: Path) -> Callable[[], Fetcher]:
    """Fetchers with a Secret and a volume of their own."""
    count = iter(range(100))

    def make() -> Fetcher:
        directory = tmp_path / f"fetcher-{next(count)}"
        directory.mkdir()
        return Fetcher(directory)

    return make


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[GCSServer]:
    with GCSServer() as server:
        yield server


@pytest.fixture(scope="session")
def azure() -> Iterator[AzureServer]:
    with AzureServer() as server:
        yield server
