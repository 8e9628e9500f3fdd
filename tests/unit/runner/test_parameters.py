"""How JSON parameters become arguments."""

from typing import Any

import pytest

from .conftest import Volume

HEADER = """
from datetime import date, datetime
from enum import Enum
from typing import *

class Color(Enum):
    RED = "red"
    GREEN = "green"

class Thing: ...
"""


@pytest.mark.parametrize(
    ("annotation", "value", "seen"),
    [
        ("int", 1, "1"),
        ("float", 1, "1"),
        ("float", 1.5, "1.5"),
        ("str", "a", "'a'"),
        ("bool", True, "True"),
        ("None", None, "None"),
        ("list[int]", [1, 2], "[1, 2]"),
        ("List", [1, "a"], "[1, 'a']"),
        ("dict[str, list[int]]", {"a": [1]}, "{'a': [1]}"),
        ("Optional[str]", None, "None"),
        ("Union[int, str]", "a", "'a'"),
        ("int | None", None, "None"),
        ("Literal['a', 'b']", "b", "'b'"),
        ("Annotated[int, 'doc']", 3, "3"),
        ("Any", {"a": 1}, "{'a': 1}"),
        ("Thing", {"a": 1}, "{'a': 1}"),
        ("'Thing'", 1, "1"),
        ("'NoSuchName'", 1, "1"),
        ("date", "2026-11-22", "datetime.date(2026, 11, 22)"),
        (
            "datetime",
            "2026-11-22T03:00:00Z",
            "datetime.datetime(2026, 11, 22, 3, 0, tzinfo=datetime.timezone.utc)",
        ),
        ("list[date]", ["2026-11-22"], "[datetime.date(2026, 11, 22)]"),
        ("Color", "red", "<Color.RED: 'red'>"),
    ],
)
def test_a_value_that_fits_arrives(volume: Volume, annotation: str, value: Any, seen: str):
    """A value that fits its annotation arrives as JSON has it, or as the date or enum it names."""
    outcome = volume.call(
        f"{HEADER}\ndef main(value: {annotation}):\n    print(repr(value))\n", {"value": value}
    )

    assert (outcome.stderr, outcome.stdout) == ("", f"{seen}\n")


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        ("int", "ten", 'expected int, got "ten"'),
        ("int", True, "expected int, got true"),
        ("int", 1.5, "expected int, got 1.5"),
        ("float", False, "expected float, got false"),
        ("str", 1, "expected str, got 1"),
        ("str", None, "expected str, got null"),
        ("bool", 1, "expected bool, got 1"),
        ("list[int]", [1, "a"], 'expected list[int], got [1, "a"]'),
        ("Dict[str, int]", {"a": "b"}, 'expected Dict[str, int], got {"a": "b"}'),
        ("Optional[int]", "a", 'expected Optional[int], got "a"'),
        ("'int | str'", [], "expected int | str, got []"),
        ("Literal['a', 1]", True, "expected Literal['a', 1], got true"),
        ("date", "tomorrow", 'expected date, got "tomorrow"'),
        ("date", 20261122, "expected date, got 20261122"),
        ("Color", "blue", 'expected Color ("red", "green"), got "blue"'),
        ("int", "x" * 100, 'expected int, got "' + "x" * 58 + "…"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    volume: Volume, annotation: str, value: Any, problem: str
):
    """A value of the wrong type ends with 221, what was expected and what came."""
    outcome = volume.call(f"{HEADER}\ndef main(value: {annotation}): ...\n", {"value": value})

    assert outcome.code == 221
    assert outcome.stderr.splitlines()[1:] == [f"  - value: {problem}"]


def test_all_problems_come_at_once_with_the_signature(volume: Volume):
    """One message lists every unknown, missing and ill-typed parameter under the signature."""
    outcome = volume.call(
        """
        from __future__ import annotations
        def main(day: str, region: str, limit: int = 10, *, dry_run: bool = False):
            raise AssertionError("must not be called")
        """,
        {"dya": "2026-11-22", "limit": "10", "dry_run": True, "zzz": None},
    )

    assert outcome.code == 221
    assert outcome.stderr == (
        "flow-runner: the parameters do not fit "
        "main(day: str, region: str, limit: int = 10, *, dry_run: bool = False)\n"
        "  - dya: unknown; did you mean day?\n"
        "  - zzz: unknown\n"
        "  - day: missing\n"
        "  - region: missing\n"
        '  - limit: expected int, got "10"\n'
    )


def test_defaults_stay_the_functions_own(volume: Volume):
    """What has no value keeps its default, and null is a value for a default of None."""
    outcome = volume.call(
        "def main(a: int = 1, b: str = None, c=(), *d, e=3): return [a, b, list(c), list(d), e]",
        {"b": None, "e": 4},
    )

    assert outcome.message["result"] == [1, None, [], [], 4]


def test_other_names_go_to_the_double_star_parameter(volume: Volume):
    """A function with `**options` takes any name, checked against its annotation."""
    code = "def main(a, /, b, **options: int): return [a, b, options]"

    assert volume.call(code, {"a": 1, "b": 2, "c": 3}).message["result"] == [1, 2, {"c": 3}]
    assert "- c: expected int" in volume.call(code, {"a": 1, "b": 2, "c": "x"}).stderr


def test_functions_without_a_signature_get_all_parameters(volume: Volume):
    """A function that Python cannot describe is called with the parameters as they are."""
    assert volume.call("main = dict", {"a": 1}).message["result"] == {"a": 1}
