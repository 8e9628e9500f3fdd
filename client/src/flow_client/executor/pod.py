"""The life of a Pod on this machine: its containers in order, its status after each step."""

import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from flow_client.errors import UnsupportedError
from flow_client.executor.container import Invocation, prepare
from flow_client.executor.control import Control
from flow_client.executor.host import Host
from flow_client.executor.volumes import Data, Sources, Volumes

Manifest = dict[str, Any]
Streams = tuple[int | IO[bytes] | None, int | IO[bytes] | None]

MAX_MESSAGE = 4096
MAX_POD_MESSAGES = 12288
_START_ERROR = 128


class LocalPod:
    """The one Pod of a Job, as processes below one temporary directory.

    Attributes:
        job, pod: Both as the API server would show them; `run` brings them up to date.
        root: The directory of its volumes.
    """

    def __init__(
        self,
        job: Manifest,
        *,
        secrets: Data,
        config_maps: Data,
        host: Host,
        control: Control,
        streams: Callable[[str], Streams],
    ) -> None:
        """Take a Job, as the API server takes it.

        Args:
            job: The Job.
            secrets, config_maps: Data by name, of the Job's namespace.
            host: What stands for the images.
            control: Stops the Pod.
            streams: Standard output and error for the container of a name.
        """
        self.job = {
            **job,
            "metadata": {
                **job["metadata"],
                "uid": str(uuid.uuid4()),
                "creationTimestamp": _now(),
            },
            "status": {},
        }
        template = job["spec"]["template"]
        self.pod: Manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template.get("metadata", {}),
                "name": f"{job['metadata']['name']}-local",
                "namespace": job["metadata"]["namespace"],
                "uid": str(uuid.uuid4()),
                "creationTimestamp": _now(),
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }
        self.root = Path(tempfile.mkdtemp(prefix="flow-")).resolve()
        self._sources = Sources(self.pod, secrets, config_maps)
        self._host = host
        self._control = control
        self._streams = streams
        self._volumes: Volumes | None = None
        self._containers = sum(
            len(template["spec"].get(kind) or []) for kind in ("initContainers", "containers")
        )

    def run(self) -> Iterator[None]:
        """Run the init containers and then the main one; each step shows in `job` and `pod`.

        Raises:
            UnsupportedError: The Pod needs what only a cluster has.
        """
        spec = self.pod["spec"]
        init, main = spec.get("initContainers") or [], spec["containers"]
        if len(main) != 1 or any(container.get("restartPolicy") for container in init):
            names = ", ".join(container["name"] for container in [*init, *main])
            raise UnsupportedError(f"sidecar containers need a cluster; the Pod has {names}")
        limits = [self.job["spec"].get("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds")]
        limit = min((limit for limit in limits if limit is not None), default=None)
        deadline = None if limit is None else time.monotonic() + limit

        self._volumes = Volumes(self.root / "volumes", self._sources)
        (self.root / "messages").mkdir()
        waiting = [*init, *main]
        invocations = {container["name"]: self._prepare(container) for container in waiting}
        while waiting and not self._control.requested:
            container = waiting.pop(0)
            invocation = invocations[container["name"]]
            yield from self._run_container(
                container["name"], invocation, is_init=container in init, deadline=deadline
            )
            mounts = [mount for other in waiting for mount in other.get("volumeMounts") or []]
            self._volumes.remove_secrets({mount["name"] for mount in mounts})
            if self.pod["status"]["phase"] == "Failed":
                break
        self._end("Failed" if waiting else self.pod["status"]["phase"])
        yield

    def remove(self, *, keep: bool = False) -> None:
        """Delete the Pod's directory; with `keep`, only the Secrets in it."""
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)
        elif self._volumes:
            self._volumes.remove_secrets(set())

    def _run_container(
        self, name: str, invocation: Invocation, *, is_init: bool, deadline: float | None
    ) -> Iterator[None]:
        status = self.pod["status"]
        started = _now()
        entry: Manifest = {"name": name, "state": {"running": {"startedAt": started}}}
        statuses = "initContainerStatuses" if is_init else "containerStatuses"
        status.setdefault(statuses, []).append(entry)
        if not is_init:
            status["phase"] = "Running"
        yield
        end = self._execute(name, invocation, deadline)
        failed = end["exitCode"] != 0
        entry["state"] = {
            "terminated": {
                "reason": "Error" if failed else "Completed",
                "startedAt": started,
                "finishedAt": _now(),
                **end,
            }
        }
        if failed or not is_init:
            status["phase"] = "Failed" if failed else "Succeeded"
        else:
            yield

    def _prepare(self, container: Manifest) -> Invocation:
        assert self._volumes
        message = self._message(container["name"])
        message.touch()
        return prepare(container, self._volumes, self._sources, self._host, message=message)

    def _message(self, name: str) -> Path:
        return self.root / "messages" / name

    def _execute(self, name: str, invocation: Invocation, deadline: float | None) -> Manifest:
        """Run one process to its end; return what the kubelet would say of it."""
        stdout, stderr = self._streams(name)
        try:
            for directory in invocation.make:
                directory.mkdir(parents=True, exist_ok=True)
            process = subprocess.Popen(
                invocation.argv,
                cwd=invocation.directory,
                env=invocation.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            what = f"{error.filename or invocation.argv[0]}: {error.strerror}"
            return {"exitCode": _START_ERROR, "reason": "StartError", "message": what}
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        if self._control.wait(process, deadline=deadline, grace=grace) == "expired":
            self.pod["status"]["reason"] = "DeadlineExceeded"
        code = process.returncode
        return {
            "exitCode": code if code >= 0 else 128 - code,
            "message": _read_message(self._message(name), self._containers),
        }

    def _end(self, phase: str) -> None:
        status = self.pod["status"]
        status["phase"] = phase
        reason = status.get("reason", "BackoffLimitExceeded")
        self.job["status"]["conditions"] = [
            {"type": "Complete", "status": "True"}
            if phase == "Succeeded"
            else {"type": "Failed", "status": "True", "reason": reason}
        ]


def _read_message(file: Path, containers: int) -> str:
    """Return as much of a termination message as the kubelet keeps: the end, then an even share."""
    text = file.read_bytes()[-MAX_MESSAGE:][: MAX_POD_MESSAGES // containers]
    return text.decode(errors="replace")


def _now() -> str:
    return datetime.now(UTC).isoformat()
