"""What the user may have meant by a reference that does not exist."""

from __future__ import annotations

from collections.abc import Collection

_MOST = 5
_KINDS = (("refs/heads/", "branch"), ("refs/tags/", "tag"))


def suggestion(wanted: str, known: Collection[str]) -> str:
    """The end of a sentence that names close matches, or what there is."""
    import difflib  # only a failure needs it

    if not known:
        return "; the repository is empty"
    short = wanted.removeprefix("refs/heads/").removeprefix("refs/tags/")
    labels = {_label(ref): ref.split("/", 2)[2] for ref in sorted(known) if ref.count("/") > 1}
    same = [label for label, name in labels.items() if name.lower() == short.lower()]
    close = difflib.get_close_matches(short, list(dict.fromkeys(labels.values())), _MOST)
    near = [label for name in close for label, other in labels.items() if other == name]
    found = list(dict.fromkeys([*same, *near]))[:_MOST]
    if found:
        return f"; similar: {', '.join(found)}"
    return f"; there are: {', '.join(list(labels)[:_MOST])}" if labels else ""


def _label(ref: str) -> str:
    for prefix, kind in _KINDS:
        if ref.startswith(prefix):
            return f"{kind} {ref.removeprefix(prefix)}"
    return ref
