"""Draws tables for a terminal and for Markdown, and puts them into a page."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

from tests.bench.places import BenchError

MISS = "**miss**"
"""What stands in a table's last column when a goal is missed."""

Row = tuple[str, ...]


def machine() -> dict[str, str]:
    """When and where this is measured."""
    model = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{len(model)} cores ({model[0].partition(': ')[2]}), "
        f"{int(memory.split()[1]) / (1 << 20):.0f} GiB, {platform.system()} {platform.release()}",
        "load": " ".join(_lines("/proc/loadavg")[0].split()[:3]) + " at the end",
        "python": platform.python_version(),
    }


def draw(rows: list[Row], *, markdown: bool) -> str:
    """Draw a table whose first row is its head."""
    return _markdown(rows) if markdown else _plain(rows)


def insert(file: Path, name: str, text: str) -> None:
    """Replace what stands between the two marks of this name in a Markdown file.

    Raises:
        BenchError: They are not there.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    before, found, rest = file.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise BenchError(f"{file} has no {begin.strip()} with {end.strip()} after it")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _plain(rows: list[Row]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ).replace(MISS, "  MISS  ")


def _markdown(rows: list[Row]) -> str:
    rule = ("---",) + ("---:",) * (len(rows[0]) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
