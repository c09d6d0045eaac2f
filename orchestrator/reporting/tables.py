"""Renders tables: as lines for a terminal, as Markdown and as CSV.

Nothing is cut off: cells that do not fit a terminal's width follow further down. `leaderboard.py` and `comparison.py`
choose what is in the tables.
"""

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

from orchestrator.terminal import visible

GAP = "  "
NARROWEST = 24  # terminal columns that a text needs to stand beside numbers, else it stands below them

Row = Sequence[str]


def with_texts(header: Row, rows: Sequence[Row], texts: Sequence[str], width: int, left: int = 0) -> list[str]:
    """Rows of cells, each with a text beside it or, where that does not fit, below it.

    The last of `header` is that of the texts. The first `left` columns are aligned left. Cells that do not fit a very
    narrow terminal go below, with their names.
    """
    table = [list(map(_flat, row)) for row in (header[:-1], *rows)]
    texts, widths = list(map(_flat, (header[-1], *texts))), _widths(table)
    whole = _fitting(widths, width)
    room = width - _taken(widths) - len(GAP)
    beside = whole == len(widths) and room >= min(NARROWEST, max(map(cell_len, texts)))
    lines = []
    for number, (row, text) in enumerate(zip(table, texts, strict=True)):
        cells = _line(row[:whole], widths, left)
        if beside:
            lines += _hanging(cells + GAP, text, room)
        else:
            named = [f"{name} {cell}" for name, cell in zip(table[0][whole:], row[whole:], strict=True)]
            below = ", ".join(named), text
            lines += [cells, *(line for part in below if number and part for line in _hanging(GAP, part, width - 2))]
    return lines


def blocks(header: Row, rows: Sequence[Row], width: int) -> list[str]:
    """Rows of cells under their header, in blocks: as many columns beside the first as fit, the others further down."""
    table = [list(map(_flat, row)) for row in (header, *rows)]
    widths, at, lines = _widths(table), 1, []
    while at < len(widths):
        many = max(1, _fitting([widths[0], *widths[at:]], width) - 1)
        some = [0, *range(at, at + many)]
        lines += [""] if lines else []
        lines += [_line([row[column] for column in some], [widths[column] for column in some], 1) for row in table]
        at += many
    return lines


def as_markdown(header: Row, rows: Sequence[Row], align: str = "---") -> str:
    """A table in Markdown. `align` is the rule below each header but the first: `---:` aligns numbers right."""
    lines = [header, ["---", *[align] * (len(header) - 1)], *rows]
    return "".join("| " + " | ".join(map(_in_markdown, line)) + " |\n" for line in lines)


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table for programs, with full precision."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _in_markdown(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _flat(cell: str) -> str:
    return visible(cell).replace("\n", "\\n")


def _widths(table: Sequence[Row]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*table, strict=True)]


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _fitting(widths: Sequence[int], width: int) -> int:
    """How many of the first columns fit; at least one."""
    return max([1, *(count for count in range(1, len(widths) + 1) if _taken(widths[:count]) <= width)])


def _line(row: Row, widths: Sequence[int], left: int = 0) -> str:
    """Cells aligned right in their columns, the first `left` of them aligned left."""
    filled = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths[: len(row)], strict=True)]
    cells = [cell + fill if n < left else fill + cell for n, (cell, fill) in enumerate(zip(row, filled, strict=True))]
    return GAP.join(cells).rstrip()


def _hanging(first: str, text: str, width: int) -> Iterator[str]:
    """`first`, and beside it the text, wrapped to `width`."""
    folded = textwrap.wrap(text, max(1, width), break_on_hyphens=False) or [""]
    yield (first + folded[0]).rstrip()
    yield from (" " * cell_len(first) + line for line in folded[1:])
