"""Where the symbolic links of a tree lead, computed before any of them exists."""

from __future__ import annotations

from collections.abc import Mapping

from flow_fetcher.names import rejected, shown

_HOPS = 40
"""How many links the kernel follows before it gives up; what it gives up on leads nowhere."""


def check_links(links: Mapping[bytes, bytes]) -> None:
    """Make sure that no link of the tree leads out of it, through whichever other links it goes.

    Args:
        links: Path within the tree → target, relative.

    Raises:
        SourceRejectedError: A link escapes.
    """
    for path, target in links.items():
        if _escapes(path, target, links):
            raise rejected(path, f"is a symbolic link out of the tree, to {shown(target)}")


def _escapes(path: bytes, target: bytes, links: Mapping[bytes, bytes]) -> bool:
    """Walk the target as the kernel would, with names that are no link taken as directories."""
    here = path.split(b"/")[:-1]
    todo = target.split(b"/")[::-1]
    hops = 0
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            if not here:
                return True
            here.pop()
            continue
        here.append(name)
        next_target = links.get(b"/".join(here))
        if next_target is not None:
            hops += 1
            if hops > _HOPS:
                return False
            here.pop()
            todo += next_target.split(b"/")[::-1]
    return False
