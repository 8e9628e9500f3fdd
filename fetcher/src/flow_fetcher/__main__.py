"""The command line: `flow-fetcher fetch` carries out one plan and says how it ended."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys

from flow_fetcher.commandline import Options, parse
from flow_fetcher.errors import FetchError
from flow_fetcher.fetch import fetch
from flow_fetcher.log import Log, Report
from flow_fetcher.message import build_message, encode_message, write_message
from flow_fetcher.plan import LARGEST_BUDGET, read_plan
from flow_fetcher.redact import Redactor
from flow_fetcher.secretparts import of_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

_TERMINATED = 143


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived: tidy up and go."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the process's exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    redactor = Redactor()
    for secret in of_environment(os.environ):
        redactor.add(secret)
    log = Log(redactor, debug=os.environ.get("FLOW_LOG_LEVEL", "").lower() == "debug")
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _terminate)
    # The main container may run as any user; the tree is for it to read.
    os.umask(0o022)
    code, message, budget = _fetch(options, redactor, log)
    for field in ("message", "remedy"):
        message[field] = redactor(str(message.get(field) or ""))
    try:
        write_message(options.termination_log, encode_message(message, budget))
    except OSError as error:
        log.error(f"cannot write the termination message: {error}")
        return code or 1
    return code


def _fetch(options: Options, redactor: Redactor, log: Log) -> tuple[int, dict[str, Any], int]:
    """The exit code, the message, and how long that may be."""
    report = Report()
    budget = LARGEST_BUDGET
    try:
        plan = read_plan(options.plan)
        budget = plan.message_budget
        message = fetch(
            plan,
            credentials=options.credentials,
            volume=options.volume,
            log=log,
            redactor=redactor,
            report=report,
        )
    except FetchError as error:
        log.error(f"{error.reason}: {error.message}")
        if error.remedy:
            log.error(f"remedy: {error.remedy}")
        _trace(log)
        failure = error
    except Terminated:
        log.error("terminated before the fetch was complete")
        failure = FetchError("the fetch was terminated by a signal")
        return _TERMINATED, _failure(failure, report), budget
    except Exception as error:
        problem = f"unexpected {type(error).__name__}: {error}"
        remedy = (
            "This is a defect of the fetcher: report it with the log of a run that has "
            "FLOW_LOG_LEVEL=debug."
        )
        log.error(f"{FetchError.reason}: {problem}")
        log.error(f"remedy: {remedy}")
        _trace(log)
        failure = FetchError(problem, remedy=remedy)
    else:
        return 0, message, budget
    return 1, _failure(failure, report), budget


def _failure(error: FetchError, report: Report) -> dict[str, Any]:
    return build_message(
        error.reason,
        revision=report.revision,
        message=error.message,
        remedy=error.remedy,
        seconds=report.seconds(),
    )


def _trace(log: Log) -> None:
    """The stack of the exception that is being handled, for developers."""
    import traceback  # only a failure needs it

    log.debug(traceback.format_exc())


def _yield_willingly() -> None:
    """Let no thread of this process take the processor from a running one the moment it wakes up.

    A fetch is threads that wait for one another and for the network. By default the kernel
    interrupts whoever works, here or in a server beside, for each that wakes up: with quick answers
    a third of the processor time goes into switches. See sched(7), SCHED_BATCH.
    """
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or a sandbox forbids it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _terminate(number: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the tidying.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Terminated


def run() -> NoReturn:
    """Run the command line as a process that ends with it."""
    # Few cycles are made, and to look for them as often as usual takes a twentieth of a fetch.
    gc.set_threshold(50_000)
    _yield_willingly()
    code = main()
    sys.stdout.flush()
    # Tidying up an interpreter takes milliseconds; the next container waits.
    os._exit(code)


if __name__ == "__main__":
    run()
