"""What a sweep found: the leaderboard of results.json, as a table for people and for programs."""

import csv
import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError

RANKED = ("completed", "stopped")  # a trial that diverged or failed stands below all others, whatever it had reached


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


def best_value(trial: dict[str, Any], metric: str) -> float:
    """The best objective value of a trial; NaN if it never had a finite one."""
    value = trial["best"].get(metric)
    return math.nan if value is None else value


def ranked(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials from best to worst by their best objective value; equal ones by id."""
    metric, sign = results["objective"]["metric"], {"max": -1.0, "min": 1.0}[results["objective"]["mode"]]

    def place(trial: dict[str, Any]) -> tuple:
        value = best_value(trial, metric)
        return trial["status"] not in RANKED, math.isnan(value), 0.0 if math.isnan(value) else sign * value, trial["id"]

    return sorted(results["trials"], key=place)


def leaderboard(results: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows, best first: rank, trial, objective, epochs, status, then what varies, a column for each path."""
    metric, trials = results["objective"]["metric"], ranked(results)
    paths = list(dict.fromkeys(path for trial in results["trials"] for path in trial["config"]))
    header = ["rank", "trial", metric, "epochs", "status", *paths]
    rows = [
        [rank, trial["id"], best_value(trial, metric), trial["epochs"], with_reason(trial["status"], trial["reason"])]
        + [trial["config"].get(path) for path in paths]
        for rank, trial in enumerate(trials, start=1)
    ]
    return header, rows


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

    metric = results["objective"]["metric"]
    table = Table(
        title=f"{results['name']}: {len(results['trials'])} trials by {metric}", box=None, title_justify="left"
    )
    for name in ("rank", "trial", metric, "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    for rank, trial in enumerate(ranked(results)[:most], start=1):
        cells = (rank, trial["id"], best_value(trial, metric), trial["epochs"])
        table.add_row(*map(show, cells), with_reason(trial["status"], trial["reason"]), listed(trial["config"]))
    return table


def listed(config: dict[str, Any]) -> str:
    """A configuration in one line, its paths cut to what tells them apart: `method=ard_vae beta=0.15 latent_dim=4`."""
    shorts = {path: path.removesuffix(".name").rpartition(".")[2] for path in config}
    unique = Counter(shorts.values())
    return " ".join(
        f"{shorts[path] if unique[shorts[path]] == 1 else path}={show(value)}" for path, value in config.items()
    )


FORMATS = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
