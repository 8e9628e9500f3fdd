"""The kinds of places that code can be fetched from.

A source is one module or package that has a function `open_source(plan)`. It checks its part of the
plan and returns a `Source`. To add one, write the module and name it in `_MODULES`; it is imported
only when a plan asks for it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from flow_fetcher.credentials import Credentials
from flow_fetcher.errors import InvalidPlanError
from flow_fetcher.log import Log, Progress, Report
from flow_fetcher.plan import Plan
from flow_fetcher.record import Record
from flow_fetcher.tree import TreeWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

_MODULES = {
    "git": "flow_fetcher.sources.git",
    "s3": "flow_fetcher.sources.s3",
    "gcs": "flow_fetcher.sources.gcs",
    "azure": "flow_fetcher.sources.azure",
    "fsspec": "flow_fetcher.sources.fsspec",
}


class Fetch(Record):
    """What a source works with while it fetches.

    Attributes:
        credentials: What the Secret holds; empty where none was asked for.
        tree: Takes the files.
        scratch: An empty directory on the tree's volume, for what does not fit into memory.
        log: Takes lines for people.
        report: Measures the stages `resolve` and `fetch`, and is told the revision once known.
        progress: To be told of what arrives; the tree tells of what is written.
    """

    credentials: Credentials
    tree: TreeWriter
    scratch: Path
    log: Log
    report: Report
    progress: Progress


class Source(Protocol):
    """One place, as the plan describes it."""

    @property
    def wanted_keys(self) -> str:
        """The keys of a Secret that it can use, as part of a sentence."""

    def fetch(self, fetch: Fetch) -> str:
        """Write the whole tree and return its revision.

        Called again with a new tree after an error that is `transient`.

        Raises:
            FetchError: It cannot be done.
        """


class _Module(Protocol):
    def open_source(self, plan: Plan) -> Source: ...


def open_source(plan: Plan) -> Source:
    """The source that the plan names, with its part of the plan checked.

    Raises:
        InvalidPlanError: There is no such kind of source, or a field has a wrong value.
    """
    module = _MODULES.get(plan.source_type)
    if module is None:
        raise InvalidPlanError(
            f"plan field source.type: {plan.source_type!r} is unknown to this fetcher; "
            f"it knows {', '.join(sorted(_MODULES))}",
            remedy="Use the fetcher image that belongs to the operator's version.",
        )
    code: _Module = import_module(module)
    return code.open_source(plan)
