"""Renders the tables of `paper_tables.py`: for a terminal, as Markdown, LaTeX (booktabs), CSV and HTML."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from orchestrator.reporting import tables
from orchestrator.reporting.paper_tables import JudgedCell, JudgedTable
from orchestrator.reporting.verdicts import RULE, Sample

MARKS = {"agrees": "=", "better": "+", "worse": "−", "higher": "↑", "lower": "↓", "no verdict": "?"}
"""Verdict -> its mark in a table that is to be printed. What is not comparable has none."""

Remarks = dict[str, int]
"""What is to be said of some cells -> the number of its footnote."""


def shown(sample: Sample | None, decimals: int, count: bool = False) -> str:
    """A mean ± its deviation, and of how many trainings."""
    if sample is None:
        return ""
    spread = "" if sample.std is None else f" ± {sample.std:.{decimals}f}"
    return f"{sample.mean:.{decimals}f}{spread}" + (f" ({sample.n})" if count and sample.n else "")


def remarks_of(table: JudgedTable) -> Remarks:
    """The footnotes of a table, in the order of its cells."""
    said = dict.fromkeys(cell.remark for cell in table.cells.values() if cell.remark)
    return {remark: number for number, remark in enumerate(said, start=1)}


def title_of(table: JudgedTable) -> str:
    """The table's name and what it shows."""
    return ". ".join(filter(None, (table.printed.table, table.printed.caption)))


def _provenances(table: JudgedTable) -> list[str]:
    """A line for each number of ours and what it rests on."""
    ways: dict[str, list[str]] = {}
    for cell in table.cells.values():
        if cell.rests_on:
            ways.setdefault(cell.rests_on, []).append(cell.value)
    return [f"{', '.join(dict.fromkeys(names))}: {rests_on}" for rests_on, names in ways.items()]


def _rows(table: JudgedTable, render: Callable[[JudgedCell], str]) -> Iterator[list[str]]:
    """The rows as texts, label first."""
    for at, row in enumerate(table.printed.rows):
        cells = (table.cells.get((at, column)) for column in range(len(table.printed.columns)))
        yield [row.label, *("" if cell is None else render(cell) for cell in cells)]


def _labels(table: JudgedTable) -> list[str]:
    return [" ".join(filter(None, (column.under, column.label))) for column in table.printed.columns]


def _flagged(cell: JudgedCell, remarks: Remarks) -> str:
    """The verdict, with the number of its footnote."""
    return f"{cell.word} [{remarks[cell.remark]}]" if cell.remark else cell.word


def _notes(table: JudgedTable) -> list[str]:
    return [f"[{number}] {remark}" for remark, number in remarks_of(table).items()] + _provenances(table)


def as_text(found: Sequence[JudgedTable], width: int) -> str:
    """The tables for a terminal of so many columns: below each row of ours what is printed, and the verdict."""
    lines: list[str] = []
    for table in found:
        remarks = remarks_of(table)
        ours = _rows(table, lambda cell: shown(cell.ours, cell.decimals, count=True) or "-")
        printed = _rows(table, lambda cell: shown(cell.other, cell.printed_decimals))
        words = _rows(table, lambda cell, remarks=remarks: _flagged(cell, remarks))
        rows = [
            line
            for mine, paper, word in zip(ours, printed, words, strict=True)
            for line in (mine, ["  paper", *paper[1:]], ["", *word[1:]])
        ]
        lines += [title_of(table), *tables.blocks(["", *_labels(table)], rows, width), *_notes(table), ""]
    return "\n".join([*lines, RULE]) + "\n"


def as_markdown(found: Sequence[JudgedTable]) -> str:
    """The tables in Markdown: in each cell ours, what is printed, and the verdict."""
    parts = []
    for table in found:
        remarks = remarks_of(table)

        def cell_text(cell: JudgedCell, remarks: Remarks = remarks) -> str:
            own = shown(cell.ours, cell.decimals, count=True) or "-"
            return f"{own}<br>paper: {shown(cell.other, cell.printed_decimals)}<br>{_flagged(cell, remarks)}"

        grid = tables.as_markdown(["", *_labels(table)], list(_rows(table, cell_text)), align="---:")
        notes = "".join(f"- {note}\n" for note in _notes(table))
        parts.append(f"### {title_of(table)}\n\n{grid}\n{notes}")
    return "\n".join([*parts, f"{RULE}\n"])


def as_csv(found: Sequence[JudgedTable]) -> str:
    """A line for each printed number, with full precision. The interval is of ours minus the printed one."""
    header = ["table", "row", "column", "metric", "ours", "std", "n", "paper", "paper_std", "paper_n"]
    header += ["low", "high", "verdict", "remark", "provenance"]
    rows = []
    for table in found:
        labels = _labels(table)
        for (row, column), cell in table.cells.items():
            mine = (cell.ours.mean, cell.ours.std, cell.ours.n) if cell.ours else (None, None, None)
            theirs = cell.other.mean, cell.other.std, cell.other.n
            interval = (cell.verdict.low, cell.verdict.high) if cell.verdict else (None, None)
            where = table.printed.table, table.printed.rows[row].label, labels[column]
            rows.append([*where, cell.value, *mine, *theirs, *interval, cell.word, cell.remark, cell.rests_on])
    return tables.as_csv(header, rows)


def as_html(found: Sequence[JudgedTable]) -> str:
    """The tables as parts of a page; classes name the verdicts."""
    return "".join(map(_html_table, found)) + f"<p>{html.escape(RULE)}</p>"


def _html_table(table: JudgedTable) -> str:
    remarks = remarks_of(table)

    def cell_text(cell: JudgedCell) -> str:
        own = html.escape(shown(cell.ours, cell.decimals, count=True) or "–")
        paper = html.escape(shown(cell.other, cell.printed_decimals))
        kind = cell.word.partition(":")[0].replace(" ", "-")
        word = html.escape(_flagged(cell, remarks))
        return f'{own}<br><small>paper {paper}</small><br><small class="verdict {kind}">{word}</small>'

    head = "".join(f"<th>{html.escape(label)}</th>" for label in ("", *_labels(table)))
    body = "".join(
        f"<tr><th>{html.escape(label)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for label, *cells in _rows(table, cell_text)
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in _notes(table))
    title = f"<h3>{html.escape(title_of(table))}</h3>"
    grid = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"{title}{grid}<ul>{notes}</ul>"


LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "[": "{[}",  # else a length, after the end of a row
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "−": "$-$",
    "²": "$^2$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "=": "$=$",
    "+": "$+$",
}
"""Character -> how LaTeX writes it."""


def in_latex(text: str) -> str:
    """The text as LaTeX; characters that pdflatex may not know become question marks."""
    known = (LATEX.get(char, char if char.isascii() and char.isprintable() else "?") for char in text)
    return "".join(known)


def as_latex(found: Sequence[JudgedTable]) -> str:
    """A document that compiles as it is; each table in it can be taken into another that uses booktabs."""
    body = "\n".join(map(_latex_table, found))
    legend = ", ".join(f"{in_latex(mark)} {word}" for word, mark in MARKS.items())
    return (
        "\\documentclass{article}\n\\usepackage[landscape,margin=1.5cm]{geometry}\n\\usepackage{booktabs,graphicx}\n"
        f"\\begin{{document}}\n{body}\n\\noindent In each row ours, then what the paper prints. {legend}. "
        f"{in_latex(RULE)}\n\\end{{document}}\n"
    )


def _latex_table(table: JudgedTable) -> str:
    remarks = remarks_of(table)

    def ours(cell: JudgedCell) -> str:
        mark = MARKS.get(cell.word, "") if cell.verdict else ""
        flag = ",".join(filter(None, (in_latex(mark).strip("$"), str(remarks.get(cell.remark, "")))))
        own = in_latex(shown(cell.ours, cell.decimals, count=True)) or "--"
        return f"{own}$^{{{flag}}}$" if flag else own

    def printed(cell: JudgedCell) -> str:
        return f"\\textit{{{in_latex(shown(cell.other, cell.printed_decimals))}}}"

    lines = []
    for mine, paper in zip(_rows(table, ours), _rows(table, printed), strict=True):
        lines += [" & ".join([in_latex(mine[0]), *mine[1:]]) + r" \\", " & ".join(["", *paper[1:]]) + r" \\[2pt]"]
    grid = "\n".join([f"\\begin{{tabular}}{{l{'r' * len(table.printed.columns)}}}", r"\toprule", *_latex_head(table)])
    notes = r" \\ ".join(in_latex(re.sub(r"^\[(\d+)\]", r"\1:", note)) for note in _notes(table))
    return (
        f"\\begin{{table}}[!ht]\n\\centering\n{in_latex(title_of(table))}\\par\\smallskip\n"
        f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{grid}\n\\midrule\n"
        + "\n".join(lines)
        + f"\n\\bottomrule\n\\end{{tabular}}}}\n\\par\\medskip\\footnotesize\\raggedright {notes}\n\\end{{table}}"
    )


def _latex_head(table: JudgedTable) -> list[str]:
    """The labels of the columns, below those that stand above several."""
    labels = " & ".join(["", *(in_latex(column.label) for column in table.printed.columns)]) + r" \\"
    if not any(column.under for column in table.printed.columns):
        return [labels]
    above, rules, at = [""], [], 2
    for under, group in groupby(table.printed.columns, key=lambda column: column.under):
        many = len(list(group))
        above.append(f"\\multicolumn{{{many}}}{{c}}{{{in_latex(under)}}}")
        rules += [f"\\cmidrule(lr){{{at}-{at + many - 1}}}"] if under else []
        at += many
    return [" & ".join(above) + r" \\", " ".join(rules), labels]


FORMATS: dict[str, Callable[[Sequence[JudgedTable]], str]] = {
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
}
