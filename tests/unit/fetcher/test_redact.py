"""No known credential passes, in any usual spelling; everything else does."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from flow_fetcher.redact import MASK, Redactor

TOKEN = "t0k%@+/en Zm9v\"&'ü"

secrets = st.text(min_size=6, max_size=60).filter(lambda text: len(set(text)) > 3)
around = st.binary(max_size=20)


def redactor(*known: str) -> Redactor:
    made = Redactor()
    for each in known:
        made.add(each)
    return made


def cores(secret: str) -> list[str]:
    """The base64 digits that hold nothing but the secret, computed in another way than the code."""
    raw = secret.encode("utf-8", "surrogatepass")
    found = []
    for before in range(3):
        some, other = (base64.b64encode(c * before + raw + c * 3) for c in (b"\0", b"\xff"))
        same = [a == b for a, b in zip(some, other, strict=True)]
        first = same.index(True)
        last = len(same) - same[::-1].index(True)
        found.append(some[first:last].decode())
    return found


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda t: quote(t, safe=""),
        lambda t: quote(t),
        lambda t: quote(t, safe="@+"),
        quote_plus,
        lambda t: quote(quote(t, safe=""), safe=""),
        lambda t: re.sub("%..", lambda found: found.group().lower(), quote(t, safe="")),
        lambda t: "".join(f"%{byte:02x}" for byte in t.encode()),
        lambda t: json.dumps(t)[1:-1],
        lambda t: json.dumps(t, ensure_ascii=False)[1:-1],
        lambda t: json.dumps(t)[1:-1].replace("/", "\\/"),
        lambda t: ascii(t)[1:-1],
        lambda t: repr(t.encode())[2:-1],
        html.escape,
        lambda t: base64.b64encode(t.encode()).decode(),
        lambda t: base64.urlsafe_b64encode(t.encode()).decode(),
        lambda t: quote(base64.b64encode(f"user:{t}".encode()).decode(), safe=""),
        lambda t: base64.b64encode(f"x-access-token:{t}".encode()).decode(),
    ],
)
def test_spelling(spell: object) -> None:
    """Each way in which programs write a secret is cut, and nothing around it."""
    assert callable(spell)
    text = redactor(TOKEN)(f"before <{spell(TOKEN)}> after")
    assert text == f"before <{MASK}> after"


@settings(deadline=None)
@given(secrets, around, around)
@example("aaaabaaaac", b"", b"")
def test_base64_at_any_alignment(secret: str, before: bytes, after: bytes) -> None:
    """Whatever stands around a secret, its base64 does not pass."""
    raw = secret.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = redactor(secret)(f"Basic {encode(before + raw + after).decode()}, more")
        plain = text.replace("-", "+").replace("_", "/")
        assert not any(core in plain for core in cores(secret))
        assert text.startswith("Basic ")


@settings(deadline=None)
@given(secrets, st.text(max_size=20), st.text(max_size=20))
@example(":0001\\", "\\", "0")
@example(":0001\\", "&", ";")
def test_raw_and_url_encoded(secret: str, before: str, after: str) -> None:
    """Neither spelling passes within any text."""
    for spelled in (secret, quote(secret, safe="", errors="surrogatepass")):
        assume(MASK not in spelled)
        # Together with half an escape before it, the beginning of the secret is something else.
        assume(not re.search("%.?$", before))
        assert spelled not in redactor(secret)(before + spelled + after)


@settings(deadline=None)
@given(st.lists(secrets, max_size=3), st.text(alphabet="xyz .\n", max_size=60))
def test_other_text_passes(known: list[str], text: str) -> None:
    """Text without a secret in it is not changed."""
    assume(not any(set(each) <= set("xyz .\n") for each in known))
    assert redactor(*known)(text) == text


def test_overlapping_secrets() -> None:
    """A secret within another, and two side by side, leave nothing behind."""
    text = redactor("abcdefgh", "cdef", "ghijklmn")("x abcdefghijklmn y cdef z")
    assert text == f"x {MASK} y {MASK} z"


def test_short_secret() -> None:
    """A secret of two letters is cut where it stands alone; words that hold it stay."""
    assert redactor("ab")("ab about ab: grab") == f"{MASK} about {MASK}: grab"


def test_empty_secret() -> None:
    """An empty value is no secret."""
    assert redactor("", "")("text") == "text"
