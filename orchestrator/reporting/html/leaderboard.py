"""The section with the leaderboard: the rows of `vaeorch results`, best first."""

from typing import Any

from orchestrator.reporting import leaderboard as ranked_rows
from orchestrator.reporting.html.content import SweepData
from orchestrator.reporting.html.markup import Markup, Section, bullets, element, joined, paragraph
from orchestrator.reporting.html.tables import table, trial_cell
from orchestrator.sweep.ranking import configurations, replicated
from orchestrator.text import short_names


def section(sweep: SweepData) -> Section:
    """The leaderboard of the trials that have ended."""
    results = sweep.results
    wrong = bullets(ranked_rows.misfortunes(results)) if results["trials"] else None
    if not results["trials"]:
        return Section("Leaderboard", paragraph("No trial has ended yet."))
    header, rows = ranked_rows.leaderboard(results)
    several = replicated(results)
    trials = _best_trials(results) if several else [row[1] for row in rows]
    if not several:
        rows = [[row[0], trial_cell(row[1], sweep.colors.get(row[1])), *row[2:]] for row in rows]
    board = table("Leaderboard", _short(header, sweep), map(_with_status, rows), trials)
    return Section("Leaderboard", joined(_lead(sweep, several), wrong, board))


def _best_trials(results: dict[str, Any]) -> list[str]:
    """The best trial of each configuration, in the order of the leaderboard."""
    return [standing["trials"][0] for standing in configurations(results)]


def _lead(sweep: SweepData, several: bool) -> Markup:
    better = "higher is better" if sweep.sign > 0 else "lower is better"
    if several:
        what = f"Configurations by their mean {sweep.metric} over seeds ({better})."
        return paragraph(
            what, " Of each trial its best epoch counts. std is that of the population. Confirmed ones come first."
        )
    return paragraph(f"Trials by {sweep.metric} at their best epoch ({better}).")


def _short(header: list[str], sweep: SweepData) -> list[str]:
    """The header with paths as short as is unambiguous."""
    shorts = short_names(sweep.paths)
    return [shorts.get(name, name) for name in header]


def _with_status(row: list[Any]) -> list[Any]:
    """A row whose text on how trials ended may be long: it wraps."""
    long = (
        not isinstance(each, Markup) and isinstance(each, str) and len(each) > ranked_rows.LONGEST_REASON
        for each in row
    )
    return [element("td", each, class_="words") if wraps else each for each, wraps in zip(row, long, strict=True)]
