"""One fetch from plan to published tree: the order of the steps, and when to try again."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from flow_fetcher.check import check_tree
from flow_fetcher.credentials import Credentials, read_credentials
from flow_fetcher.errors import FetchError
from flow_fetcher.log import Log, Progress, Report, human_size
from flow_fetcher.message import build_message
from flow_fetcher.plan import Plan
from flow_fetcher.publish import Volume
from flow_fetcher.record import Record
from flow_fetcher.redact import Redactor
from flow_fetcher.sources import Fetch, Source, open_source
from flow_fetcher.tree import TreeWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 20.0
"""No new try begins later than this: a failure shall be known within half a minute."""

_FIRST_DELAY = 0.5
_LARGEST_DELAY = 5.0


def fetch(
    plan: Plan,
    *,
    credentials: Path | None,
    volume: Path,
    log: Log,
    redactor: Redactor,
    report: Report,
    patience: float = PATIENCE,
) -> dict[str, Any]:
    """Carry out a plan; the fields of the message of success.

    Args:
        plan: What to fetch.
        credentials: Where the Secret is mounted, if one is.
        volume: Where the tree goes.
        log: Takes lines for people.
        redactor: Learns the credentials.
        report: Learns durations and the revision.
        patience: For how many seconds to try again after errors that may pass.

    Raises:
        FetchError: It cannot be done.
    """
    target = Volume(volume)
    earlier = target.published(plan)
    if earlier is not None:
        log.info(f"{earlier.get('revision')} is already fetched: nothing to do")
        return earlier
    source = open_source(plan)
    secrets = read_credentials(credentials, plan.secret_name, redactor, source.wanted_keys)
    job = _Job(plan, source, secrets, target, log, report, patience)
    try:
        return job.run()
    except OSError as error:
        raise _explained(error, volume) from error


class _Job(Record):
    """What stays the same from one try to the next."""

    plan: Plan
    source: Source
    credentials: Credentials
    volume: Volume
    log: Log
    report: Report
    patience: float

    def run(self) -> dict[str, Any]:
        """Try until it is done, the error is final, or the time is up."""
        delay = _FIRST_DELAY
        while True:
            try:
                return self._once()
            except FetchError as error:
                wait = max(delay, error.retry_after)
                if not error.transient or self.report.elapsed + wait > self.patience:
                    raise
                self.log.warning(f"{error.message}; trying again in {wait:.1f} s")
                time.sleep(wait)
                delay = min(2 * delay, _LARGEST_DELAY)

    def _once(self) -> dict[str, Any]:
        with self.volume.staging() as staging:
            scratch = staging / "scratch"
            scratch.mkdir()
            progress = Progress(self.log)
            with TreeWriter(staging / "src", progress=progress.written) as tree:
                work = Fetch(self.credentials, tree, scratch, self.log, self.report, progress)
                revision = self.source.fetch(work)
                tree.finish()
            check_tree(staging / "src", self.plan)
            message = build_message(
                "Succeeded",
                revision=revision,
                files=tree.files,
                size=tree.size,
                seconds=self.report.seconds(),
            )
            self.volume.publish(staging / "src", self.plan, revision, message)
        self.log.info(
            f"fetched {revision}: {tree.files} files, {human_size(tree.size)} "
            f"in {self.report.elapsed:.3f} s"
        )
        return message


def _explained(error: OSError, volume: Path) -> FetchError:
    """What a failing volume means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(
            "the run's volume is full",
            remedy="Fetch less, or raise the size limit of the run's emptyDir or the node's disk.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FetchError(
            f"cannot write to the run's volume: {error.strerror}: {error.filename}",
            remedy=f"Let user {os.getuid()} write to {volume}: leave runAsUser and fsGroup of the "
            "Pod to the operator's default, or set both.",
        )
    return FetchError(f"the run's volume failed: {error}", remedy="Look at the node's disk.")
