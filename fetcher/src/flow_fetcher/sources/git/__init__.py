"""Git: speaks the protocol itself, over HTTP or SSH, and writes files as they arrive.

In the order in which a fetch goes through them:

- `source` finds out the commit and checks it out. `spec` has read the plan, `auth` the Secret.
- `protocol` asks for references and for a pack: gitprotocol-v2(5), gitprotocol-pack(5). `offer`
  reads what a server says of itself, `pktline` the packets: gitprotocol-common(5).
- `smart` is the way over HTTP, gitprotocol-http(5); `http` decides on TLS, proxies, redirects and
  who gets credentials, `wire` speaks HTTP/1.1, RFC 9112. `ssh` is the other way.
- `pack` takes the stream apart, `delta` and `objects` make objects of it: gitformat-pack(5).
  `trees` and `checkout` find out where they belong, and `flow_fetcher.tree` writes them.

Only where plan or tree ask for it: `scope` (sparseCheckout); `worktree`, `attributes`, `glob` and
`convert` (gitattributes(5)).
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
