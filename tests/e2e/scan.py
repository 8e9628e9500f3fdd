"""Looks for a credential in everything that a run leaves behind, in every form it could take."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus


def forms(secret: str) -> dict[str, re.Pattern[bytes]]:
    """Return a pattern for each form of a secret.

    A base64 text contains the secret at one of three alignments; of each, the characters that
    depend on the secret alone are looked for, in the standard and the URL-safe alphabet. That
    finds `user:secret` too, and the secret inside any larger encoded text.
    """
    raw = secret.encode()
    found = {
        "raw": re.escape(raw),
        "url-encoded": _any_case_of_escapes(quote(secret, safe="")),
        "url-encoded, path": _any_case_of_escapes(quote(secret, safe="/~")),
        "form-encoded": _any_case_of_escapes(quote_plus(secret)),
    }
    for alignment in range(3):
        text = base64.b64encode(b"\0" * alignment + raw)
        first = -(-alignment * 8 // 6)  # the first character that holds no bit of the padding
        last = (alignment + len(raw)) * 8 // 6  # the last that holds no bit of what follows
        core = text[first:last].decode()
        found[f"base64 at {alignment}"] = re.escape(core.encode())
        urlsafe = core.replace("+", "-").replace("/", "_")
        found[f"urlsafe base64 at {alignment}"] = re.escape(urlsafe.encode())
    return {name: re.compile(pattern) for name, pattern in found.items()}


def findings(secret: str, artefacts: Mapping[str, bytes]) -> list[str]:
    """Return `artefact: form` for every place that holds the secret."""
    return list(_find(secret, artefacts))


def _find(secret: str, artefacts: Mapping[str, bytes]) -> Iterator[str]:
    patterns = forms(secret)
    for name, content in artefacts.items():
        for form, pattern in patterns.items():
            if pattern.search(content):
                yield f"{name}: {form}"


def _any_case_of_escapes(text: str) -> bytes:
    """`%2F` and `%2f` are the same."""
    escaped = re.escape(text)
    return re.sub(r"%([0-9A-F]{2})", lambda m: f"%(?i:{m[1]})", escaped).encode()
