"""What a sweep found: the leaderboard of results.json, as a table for people and for programs."""

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.standings import best_value, configurations, ranked, replicated

Board = tuple[list[str], list[tuple[list[Any], dict[str, Any]]]]


def read_results(out: Path, name: str) -> dict[str, Any]:
    """The content of OUT/NAME/results.json. Raises UserError when there is no such sweep or the file is damaged."""
    file = out / name / "results.json"
    if not file.is_file():
        there = ", ".join(sorted(path.parent.name for path in out.glob("*/results.json"))) or "none yet"
        raise UserError(f"{file}: no such results. Sweeps in {out}: {there}.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{file}: is damaged ({error}). The trials' own metrics.jsonl files are beside it.") from None


def leaderboard(results: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows, best first, a column for each path that varies.

    A row is a trial, or, where configurations were trained with several seeds, a configuration with the mean of its
    trials' best values, their standard deviation (of the population) and how many they are.
    """
    paths = list(dict.fromkeys(path for trial in results["trials"] for path in trial["config"]))
    names, rows = BOARDS[replicated(results)](results)
    cells = [[rank, *row, *map(config.get, paths)] for rank, (row, config) in enumerate(rows, start=1)]
    return ["rank", *names, *paths], cells


def _of_trials(results: dict[str, Any]) -> Board:
    metric = results["objective"]["metric"]
    rows = [
        ([trial["id"], best_value(trial, metric), trial["epochs"], _ending(trial)], trial["config"])
        for trial in ranked(results)
    ]
    return ["trial", metric, "epochs", "status"], rows


def _of_configurations(results: dict[str, Any]) -> Board:
    rows = []
    for one in configurations(results):
        mean, std = (math.nan if one[key] is None else one[key] for key in ("mean", "std"))
        ends = ", ".join(f"{count} {status}" for status, count in one["statuses"].items())
        ends += " (confirmed)" if one["confirmed"] else ""
        rows.append(([one["configuration"], mean, std, one["n"], ends], one["config"]))
    return ["configuration", f"mean {results['objective']['metric']}", "std", "n", "status"], rows


BOARDS = {False: _of_trials, True: _of_configurations}
"""Whether there are several seeds -> the names and the rows of the leaderboard, each row with its configuration."""


def _ending(trial: dict[str, Any]) -> str:
    return with_reason(trial["status"], trial["reason"])


def with_reason(status: str, reason: str | None) -> str:
    """As `stopped (asha@9)`."""
    return f"{status} ({reason})" if reason else status


def show(value: Any) -> str:
    """A value as a cell of a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def as_csv(results: dict[str, Any]) -> str:
    """The leaderboard with full precision, for programs."""
    header, rows = leaderboard(results)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def as_markdown(results: dict[str, Any]) -> str:
    """The leaderboard for a paper's notes."""
    header, rows = leaderboard(results)
    lines = [header, ["---"] * len(header), *[[show(cell).replace("|", "\\|") for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def as_json(results: dict[str, Any]) -> str:
    """results.json itself."""
    return json.dumps(results, indent=2) + "\n"


def as_table(results: dict[str, Any], most: int | None = None):
    """The leaderboard as a rich table that fits a terminal: what varies stands in one column."""
    from rich.table import Table

    several = replicated(results)
    names, rows = BOARDS[several](results)
    table = Table(title=_title(results), box=None, title_justify="left")
    for name in ("rank", *names[:-1]):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=not several)
    table.add_column("varies" if several else "configuration", overflow="fold")
    for rank, (row, config) in enumerate(rows[:most], start=1):
        table.add_row(*map(show, (rank, *row)), listed(config))
    return table


def _title(results: dict[str, Any]) -> str:
    trials, metric = f"{results['name']}: {len(results['trials'])} trials", results["objective"]["metric"]
    if not replicated(results):
        return f"{trials} by {metric}"
    return f"{trials} of {len(configurations(results))} configurations by their mean {metric}"


def listed(config: dict[str, Any]) -> str:
    """A configuration in one line, its paths cut to what tells them apart: `method=ard_vae beta=0.15 latent_dim=4`."""
    shorts = {path: path.removesuffix(".name").rpartition(".")[2] for path in config}
    unique = Counter(shorts.values())
    return " ".join(
        f"{shorts[path] if unique[shorts[path]] == 1 else path}={show(value)}" for path, value in config.items()
    )


FORMATS = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
