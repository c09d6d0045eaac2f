"""The leaderboard of results.json, as a table for people and for programs. `sweep/ranking.py` ranks the trials."""

import json
import math
from collections.abc import Callable
from typing import Any

from orchestrator.reporting import tables
from orchestrator.sweep.ranking import (
    RANKED,
    UNSOUND,
    best_summary,
    best_value,
    chosen_by,
    configurations,
    ranked,
    replicated,
)
from orchestrator.text import columns_of, show, told_apart, with_reason

Table = tuple[list[str], list[tuple[list[Any], dict[str, Any]]]]
Ending = Callable[[dict[str, Any]], str]

MOST_REASONS = 10  # listed for a sweep without a result
LONGEST_REASON = 20  # characters that fit beside a status in a table, as in `stopped (asha@9)`


def misfortunes(results: dict[str, Any]) -> list[str]:
    """Why a sweep has no result, a line for each reason and the trials that had it; none if a trial can be ranked."""
    trials, name = results["trials"], results["name"]
    if best_summary(results) != ({}, {}):
        return []
    if not trials:
        return [f"{name}: no trial came to an end."]
    wrong = [trial for trial in trials if trial["status"] in UNSOUND]
    metric = results["objective"]["metric"]
    if any(math.isfinite(best_value(trial, metric)) for trial in trials if trial["status"] in RANKED):
        biased = chosen_by(results)
        confirming = [trial for trial in trials if trial["id"] not in biased]
        return [f"{name}: no trial that confirms has a finite {metric}.", *_reasons(confirming)[:MOST_REASONS]]
    if len(wrong) < len(trials):
        return [f"{name}: no trial had a finite {metric}."]
    reasons = _reasons(wrong)
    rest = [f"and {len(reasons) - MOST_REASONS} other reasons"] if len(reasons) > MOST_REASONS else []
    return [f"{name}: every trial failed or diverged.", *reasons[:MOST_REASONS], *rest]


def leaderboard(results: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows, best first, a column for each path that varies.

    A row is a trial, or, where configurations were trained with several seeds, a configuration with the mean of its
    trials' best values, their standard deviation (of the population) and how many they are.
    """
    paths = list(dict.fromkeys(path for trial in results["trials"] for path in trial["config"]))
    names, rows = TABLES[replicated(results)](results, _ending)
    cells = [[rank, *row, *map(config.get, paths)] for rank, (row, config) in enumerate(rows, start=1)]
    return ["rank", *names, *columns_of(paths, names).values()], cells


def _of_trials(results: dict[str, Any], ending: Ending) -> Table:
    metric = results["objective"]["metric"]
    rows = [
        ([trial["id"], best_value(trial, metric), trial["epochs"], ending(trial)], trial["config"])
        for trial in ranked(results)
    ]
    return ["trial", metric, "epochs", "status"], rows


def _of_configurations(results: dict[str, Any], ending: Ending) -> Table:
    rows = []
    for one in configurations(results):
        mean, std = (math.nan if one[key] is None else one[key] for key in ("mean", "std"))
        ends = ", ".join(f"{count} {status}" for status, count in one["statuses"].items())
        ends += " (confirmed)" if one["confirmed"] else ""
        rows.append(([one["configuration"], mean, std, one["n"], ends], one["config"]))
    return ["configuration", f"mean {results['objective']['metric']}", "std", "n", "status"], rows


TABLES = {False: _of_trials, True: _of_configurations}
"""Whether there are several seeds -> the names and the rows of the leaderboard, each row with its configuration.

The second argument makes the text on how a trial ended.
"""


def _ending(trial: dict[str, Any]) -> str:
    return with_reason(trial["status"], trial["reason"])


def as_csv(results: dict[str, Any]) -> str:
    """The leaderboard with full precision, for programs."""
    return tables.as_csv(*leaderboard(results))


def as_markdown(results: dict[str, Any]) -> str:
    """The leaderboard in Markdown."""
    header, rows = leaderboard(results)
    return tables.as_markdown(header, [list(map(show, row)) for row in rows])


def as_json(results: dict[str, Any]) -> str:
    """The content of results.json."""
    return json.dumps(results, indent=2) + "\n"


def as_table(results: dict[str, Any], width: int, most: int | None = None) -> str:
    """The leaderboard for a terminal of so many columns: what varies is in one column, long reasons follow below."""
    several = replicated(results)
    names, rows = TABLES[several](results, _briefly)
    header = ["rank", *names, "varies" if several else "configuration"]
    cells = [list(map(show, (rank, *row))) for rank, (row, _) in enumerate(rows[:most], start=1)]
    texts = told_apart([config for _, config in rows])[:most]
    untold = [trial for trial in ranked(results)[: None if several else most] if trial["reason"]]
    if several:
        untold = [trial for trial in untold if trial["status"] not in RANKED]
    else:
        untold = [trial for trial in untold if len(trial["reason"]) > LONGEST_REASON]
    return "\n".join([_title(results), *tables.with_texts(header, cells, texts, width), *_reasons(untold)])


def _briefly(trial: dict[str, Any]) -> str:
    """How a trial ended, without a reason that is too long for a table."""
    return trial["status"] if len(trial["reason"] or "") > LONGEST_REASON else _ending(trial)


def _reasons(trials: list[dict[str, Any]]) -> list[str]:
    """Why trials ended, in full: a line for each reason, with the trials that ended so."""
    ids: dict[str, list[str]] = {}
    for trial in trials:
        ids.setdefault(f"{trial['status']}: {trial['reason']}", []).append(trial["id"])
    return [f"{', '.join(some)} {why}" for why, some in ids.items()]


def _title(results: dict[str, Any]) -> str:
    trials, metric = f"{results['name']}: {len(results['trials'])} trials", results["objective"]["metric"]
    if not replicated(results):
        return f"{trials} by {metric}"
    return f"{trials} of {len(configurations(results))} configurations by their mean {metric}"


FORMATS = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
