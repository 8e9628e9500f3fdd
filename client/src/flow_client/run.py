"""`kubectl flow run --local`: from files to an exit code."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console
from rich.text import Text

from flow_client.choice import Choice, choose, parse_parameters
from flow_client.console import Stages
from flow_client.errors import ClientError
from flow_client.executor import Control, Host
from flow_client.executor.pod import Streams
from flow_client.fetchlog import FetchLog
from flow_client.local import LocalRun
from flow_client.objects import Manifest, Objects, read_objects
from flow_operator.api.v1alpha1 import FlowDeployment
from flow_operator.core.job import FLOW
from flow_operator.core.settings import Settings

NOT_STARTED = 2
"""Exit code when the files or options are wrong; a run that was started has its own."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says.

    Attributes:
        name: The FlowRun or FlowDeployment that is meant, if there are several.
        files: Files with manifests.
        namespace: Namespace of objects that name none.
        parameters: `name=value` texts.
        revision: Revision to run, if not the manifest's.
        python: The interpreter to run the code with.
        keep: Whether the run's directories stay.
        verbose: Whether the fetcher's log is shown.
        as_json: Whether the run is printed as JSON in the end.
    """

    name: str | None
    files: list[str]
    namespace: str
    parameters: list[str]
    revision: str | None
    python: str
    keep: bool
    verbose: bool
    as_json: bool


def run_local(options: Options) -> int:
    """Run a flow on this machine; return the exit code of the command."""
    console = Console(stderr=True, highlight=False)
    try:
        python = shutil.which(options.python)
        if python is None:
            raise ClientError(f"--python {options.python}: there is no such program")
        objects = read_objects(options.files, options.namespace)
        parameters = parse_parameters(options.parameters)
        choice = choose(objects, options.name, parameters=parameters, revision=options.revision)
        return _run(choice, objects, Host(python), options, console)
    except ClientError as error:
        console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        return NOT_STARTED


def _run(choice: Choice, objects: Objects, host: Host, options: Options, console: Console) -> int:
    stages, settings, control = Stages(console), Settings(), Control()
    for text in _surprises(choice, objects, host, settings):
        stages.note(text)
    log = FetchLog(stages.note)
    with _signals(control) as received:
        run = LocalRun(
            choice,
            objects,
            host=host,
            control=control,
            streams=lambda name: _streams(name, log, options),
            settings=settings,
        )
        try:
            for _ in run.steps():
                stages.show(run.run, run.pod.pod if run.pod else {}, log.lines)
        finally:
            log.close()
            run.remove(keep=options.keep)
        if run.pod and options.keep:
            stages.note(f"the run's directories are kept in {run.pod.root}")
    if options.as_json:
        print(json.dumps(run.run, indent=2))
    if received:
        return 128 + received[0]
    return _exit_code(run.run, run.pod.pod if run.pod else {})


def _surprises(choice: Choice, objects: Objects, host: Host, settings: Settings) -> Iterator[str]:
    """Name what is not as it would be in the cluster."""
    deployment = FlowDeployment.model_validate(choice.deployment)
    image = deployment.spec.image or settings.default_image
    yield f"image {image} is not used here: python3 is {host.python}"
    if objects.ignored:
        yield f"not needed here: {', '.join(objects.ignored)}"
    secret = deployment.spec.source.secret_name()
    namespace = deployment.metadata.namespace
    if secret and (namespace, secret) not in objects.secrets:
        yield f"Secret {secret} of namespace {namespace} is not in the files given: add it with -f"


def _streams(name: str, log: FetchLog, options: Options) -> Streams:
    """Give the code its own output; what comes before it is kept back unless asked for."""
    if name == FLOW:
        return (sys.stderr.fileno() if options.as_json else None), None
    return (None, None) if options.verbose else (log.write_end, log.write_end)


@contextmanager
def _signals(control: Control) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to the run; what came is in the list."""
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)
        control.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(run: Manifest, pod: Manifest) -> int:
    if run["status"]["phase"] == "Succeeded":
        return 0
    for entry in pod.get("status", {}).get("containerStatuses") or []:
        code = entry["state"].get("terminated", {}).get("exitCode", 1)
        return int(code) or 1
    return 1
