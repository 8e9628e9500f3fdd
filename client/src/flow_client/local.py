"""Runs a flow on this machine, by the operator's own decisions.

The operator decides what happens next to a FlowRun, from objects alone. In the cluster its shell
carries that out against the API server; here this module does, and the Job goes to the executor.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from flow_client.choice import Choice
from flow_client.executor import Control, Host, LocalPod
from flow_client.executor.pod import Streams
from flow_client.objects import Manifest, Objects
from flow_operator.core.decision import CreateJob, WriteStatus
from flow_operator.core.runs import RunView, decide_run
from flow_operator.core.settings import Settings

_DEADLINE = timedelta(seconds=1)
"""How long a local run waits for what is missing: nothing arrives later here."""


class LocalRun:
    """One FlowRun, run here.

    Attributes:
        run: The FlowRun, with the status that the operator would have written by now.
        pod: Its Pod, once there is one.
    """

    def __init__(
        self,
        choice: Choice,
        objects: Objects,
        *,
        host: Host,
        control: Control,
        streams: Callable[[str], Streams],
        settings: Settings,
    ) -> None:
        """Prepare a run.

        Args:
            choice: The run and its deployment.
            objects: The Secrets and ConfigMaps that the Pod may mount.
            host: What stands for the images.
            control: Stops the run.
            streams: Standard output and error for the container of a name.
            settings: The operator's settings.
        """
        self.run = choice.run
        self.pod: LocalPod | None = None
        spec = {
            **choice.deployment["spec"],
            "pendingDeadlineSeconds": int(_DEADLINE.total_seconds()),
            "concurrencyPolicy": "Allow",  # there is no other run here
        }
        for waits in ("concurrencyLimit", "retries"):  # nor another attempt: whoever looks decides
            spec.pop(waits, None)
        self._deployment = {**choice.deployment, "spec": spec}
        self._objects = objects
        self._host = host
        self._control = control
        self._streams = streams
        self._settings = settings

    def steps(self) -> Iterator[None]:
        """Carry the run through to its end; each step shows in `run`.

        Raises:
            UnsupportedError: The Pod needs what only a cluster has.
        """
        while self.pod is None and not self._is_finished():
            self._decide()
        for _ in self.pod.run() if self.pod else ():
            self._decide()
            yield
        if not self._is_finished():  # the operator would wait for what is missing, and try again
            self._decide(job=False, later=_DEADLINE)
            yield

    def remove(self, *, keep: bool = False) -> None:
        """Delete what the run left on the disk."""
        if self.pod:
            self.pod.remove(keep=keep)

    def _is_finished(self) -> bool:
        return "completionTime" in self.run.get("status", {})

    def _decide(self, *, job: bool = True, later: timedelta = timedelta()) -> None:
        if self._control.requested:
            self.run = {**self.run, "spec": {**self.run["spec"], "cancel": True}}
        pod = self.pod if job else None
        view = RunView(
            self.run,
            deployment=self._deployment,
            job=pod.job if pod else None,
            pods=[pod.pod] if pod else [],
        )
        for action in decide_run(view, datetime.now(UTC) + later, self._settings).actions:
            if isinstance(action, WriteStatus):
                self.run = {**self.run, "status": action.status}
            elif isinstance(action, CreateJob):
                self.pod = self._start(action.manifest)

    def _start(self, job: Manifest) -> LocalPod:
        namespace = job["metadata"]["namespace"]

        def of_namespace(found: dict[tuple[str, str], dict[str, bytes]]) -> dict[str, Any]:
            return {key[1]: data for key, data in found.items() if key[0] == namespace}

        return LocalPod(
            job,
            secrets=of_namespace(self._objects.secrets),
            config_maps=of_namespace(self._objects.config_maps),
            host=self._host,
            control=self._control,
            streams=self._streams,
        )
