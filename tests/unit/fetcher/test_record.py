"""Records behave as frozen dataclasses do."""

from __future__ import annotations

from typing import ClassVar

import pytest

from flow_fetcher.record import Record


class Point(Record):
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2


class Named(Point):
    name: str = ""


def test_fields_and_defaults() -> None:
    """Fields come by position or name, those of the base first; what is missing has its default."""
    assert (Point(1).x, Point(1).y, Point(1, 3).y, Point(y=4, x=1).y) == (1, 2, 3, 4)
    assert (Named(1, 2, "n").name, Named(1, name="m").name) == ("n", "m")


def test_values_compare() -> None:
    """Two with the same values are equal and have the same hash; other classes never are."""
    assert Point(1) == Point(1, 2)
    assert hash(Point(1)) == hash(Point(1, 2))
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert repr(Named(1)) == "Named(x=1, y=2, name='')"


def test_unchangeable() -> None:
    """No field can be set later."""
    with pytest.raises(AttributeError, match=r"Point\.x"):
        Point(1).x = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_wrong_fields(values: tuple[int, ...], named: dict[str, int]) -> None:
    """Missing, unknown and doubled fields are refused."""
    with pytest.raises(TypeError, match="Point"):
        Point(*values, **named)
