"""What every measurement has in common: cases that take turns, one table, one file of figures.

A rate alone says nothing about anybody else's machine. So each row stands beside a peer and beside the raw limit,
measured in the same run in turns with it, and the ratios are what counts.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from shared import collector

Measured = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One line: our figure, that of a peer and the raw limit, in `unit`; None where there is none.

    Ratios are ours to theirs; for times and sizes ("s", "ms", "us", "MB") theirs to ours: more is always better.
    """

    group: str
    case: str
    ours: float
    peer: float | None = None
    limit: float | None = None
    unit: str = "/s"
    note: str = ""

    def to_peer(self) -> float | None:
        return self._ratio(self.peer)

    def to_limit(self) -> float | None:
        return self._ratio(self.limit)

    def _ratio(self, other: float | None) -> float | None:
        if not other or not self.ours:
            return None
        return self.ours / other if self.unit.startswith("/") else other / self.ours


def rate(operation: Callable[[], int], seconds: float, callers: int = 1) -> float:
    """How many things per second `operation` does (it says how many at each call), asked by that many threads."""
    began = time.perf_counter()
    end = began + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            done += operation()
        return done

    with ThreadPoolExecutor(callers) as threads:
        done = sum(threads.map(work, range(callers)))
    return done / (time.perf_counter() - began)


def interleaved(cases: Mapping[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """The median of each case over `runs` rounds in which all have their turn, every other round backwards.

    The garbage collector is set as in a service that runs (`shared.collector`), for all of them.
    """
    collector.spare()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(runs):
        names = list(cases) if number % 2 == 0 else list(reversed(cases))
        for name in names:
            taken[name].append(cases[name]())
            progress(f"round {number + 1} of {runs}: {name}")
    progress("")
    return {name: statistics.median(figures) for name, figures in taken.items()}


def percentile(times: Sequence[float], share: float) -> float:
    """The time that this share of them did not exceed."""
    return sorted(times)[min(len(times) - 1, round(share * (len(times) - 1)))]


def latencies(
    group: str,
    case: str,
    ours: Sequence[float],
    *,
    peer: Sequence[float] | None = None,
    limit: Sequence[float] | float | None = None,
    unit: str = "ms",
    notes: tuple[str, str] = ("", ""),
) -> list[Row]:
    """The median and the 99th percentile of times, as two rows; those of peer and limit beside them, if they have any.

    `notes` are those of the two rows.
    """

    def at(share: float, times: Sequence[float] | float | None) -> float | None:
        return percentile(times, share) if isinstance(times, Sequence) else times

    return [
        Row(group, f"{case}, {name}", percentile(ours, share), at(share, peer), at(share, limit), unit, note)
        for (name, share), note in zip((("p50", 0.5), ("p99", 0.99)), notes, strict=True)
    ]


def progress(text: str) -> None:
    """Where it stands, for whoever watches a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def show(rows: Iterable[Row], *, header: bool = True) -> None:
    """The table, as Markdown."""
    if header:
        print("| | case | ours | peer | raw limit | × peer | × limit | |")
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for row in rows:
        figures = [_figure(value, row.unit) for value in (row.ours, row.peer, row.limit)]
        ratios = ["" if ratio is None else _short(ratio) for ratio in (row.to_peer(), row.to_limit())]
        print("|", " | ".join([row.group, row.case, *figures, *ratios, row.note]), "|", flush=True)


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_short(value)} {unit}".rstrip()


def _short(value: float) -> str:
    """Three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def save(rows: Iterable[Row], path: Path) -> None:
    """The same as JSON, with the machine; what others have put into the file stays, group by group."""
    rows = list(rows)
    before = json.loads(path.read_bytes())["rows"] if path.exists() else []
    groups = {row.group for row in rows}
    kept = [row for row in before if row["group"] not in groups]
    mine = [{**asdict(row), "to_peer": row.to_peer(), "to_limit": row.to_limit()} for row in rows]
    path.write_text(json.dumps({"machine": machine(), "rows": kept + mine}, indent=1, ensure_ascii=False) + "\n")


def saved(path: Path) -> list[Row]:
    """What has been put into the file, of all measurements."""
    names = [field.name for field in fields(Row)]
    return [Row(**{name: row[name] for name in names}) for row in json.loads(path.read_bytes())["rows"]]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def options(description: str | None) -> argparse.ArgumentParser:
    """`--json`, as every measurement has it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the figures into this file, too")
    return parser


def options_of_turns(description: str | None, *, seconds: float = 1.0, runs: int = 3) -> argparse.ArgumentParser:
    """The same with `--seconds` and `--runs`, where cases take turns."""
    parser = options(description)
    parser.add_argument("--seconds", type=float, default=seconds, help="how long a case runs each time")
    parser.add_argument("--runs", type=int, default=runs, help="rounds, of which the median counts")
    return parser


def report(rows: Iterable[Row], to: Path | None) -> None:
    """Show them, and save them if a file is named."""
    report_groups([rows], to)


def report_groups(groups: Iterable[Iterable[Row]], to: Path | None) -> None:
    """The same for a long measurement: each group is shown when it comes."""
    rows: list[Row] = []
    for group in groups:
        fresh = list(group)
        show(fresh, header=not rows)
        rows += fresh
    if to is not None:
        save(rows, to)
