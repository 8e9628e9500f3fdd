"""The command line: `flow-fetcher fetch` carries out one plan and says how it ended."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from flow_fetcher import __version__
from flow_fetcher.errors import FetchError
from flow_fetcher.fetch import fetch
from flow_fetcher.log import Log, Report
from flow_fetcher.message import build_message, encode_message, write_message
from flow_fetcher.plan import LARGEST_BUDGET, read_plan
from flow_fetcher.redact import Redactor

_TERMINATED = 143


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived: tidy up and go."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the process's exit code."""
    options = _parser().parse_args(arguments)
    redactor = Redactor()
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


def _fetch(
    options: argparse.Namespace, redactor: Redactor, log: Log
) -> tuple[int, dict[str, Any], int]:
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


def _terminate(number: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the tidying.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Terminated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flow-fetcher",
        description="Fetches the code of a run into its volume. The init container of every run.",
    )
    parser.add_argument("--version", action="version", version=f"flow-fetcher {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "fetch",
        help="carry out one plan",
        description="Carries out one plan. Exits 0 when the tree is in place, 1 otherwise; the "
        "termination message says what happened.",
        epilog="FLOW_LOG_LEVEL=debug in the environment makes the log say more.",
    )
    command.add_argument(
        "--plan", type=Path, required=True, metavar="FILE", help="the plan, JSON (plan.json)"
    )
    command.add_argument(
        "--credentials",
        type=Path,
        metavar="DIR",
        help="the mounted Secret, one file for each key; it may be missing",
    )
    command.add_argument(
        "--volume", type=Path, required=True, metavar="DIR", help="the run's volume (/flow)"
    )
    command.add_argument(
        "--termination-log",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the termination message goes (/dev/termination-log)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
