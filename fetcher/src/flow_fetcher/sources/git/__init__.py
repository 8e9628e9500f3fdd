"""Git over HTTP and HTTPS: speaks the protocol itself, writes files as they arrive.

`spec` reads the plan, `http` moves bytes, `pktline` and `protocol` speak git's wire protocol,
`pack`, `delta` and `objects` turn the stream into objects, and `checkout` turns objects into files.
"""

from __future__ import annotations

from flow_fetcher.plan import Plan
from flow_fetcher.sources import Source


def open_source(plan: Plan) -> Source:
    """The repository that the plan names.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    from flow_fetcher.sources.git.source import GitSource
    from flow_fetcher.sources.git.spec import read_spec

    return GitSource(read_spec(plan))
