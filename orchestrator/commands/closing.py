"""What `sweep` and `resume` print when a sweep has ended: its leaderboard, its best trial, and what to type next."""

from pathlib import Path

from rich.console import Console

from orchestrator.errors import NoResult
from orchestrator.execution.run import Outcome
from orchestrator.reporting.leaderboard import as_json, as_table, misfortunes
from orchestrator.shell import command, command_for
from orchestrator.storage import layout
from orchestrator.sweep.ranking import ranked
from orchestrator.terminal import say
from orchestrator.tracking.tracker import Left

SHOWN = 10  # trials in the closing leaderboard


def close(
    console: Console, outcome: Outcome, out: Path, left: Left, json_wanted: bool, resume: str | None = None
) -> None:
    """Print a sweep's leaderboard, where the files of its best trial are, and the commands to type next.

    `resume` is the one that goes on with it; None: the usual one.

    Raises NoResult if the sweep has ended without a trial that can be ranked.
    """
    name = outcome.results["name"]
    if json_wanted:
        print(as_json(outcome.results), end="")
    say(console, as_table(outcome.results, console.width, SHOWN))
    best = next((trial for trial in ranked(outcome.results) if trial["checkpoint"]), None)
    lines = [f"results      {outcome.folder / layout.RESULTS}"]
    if best:
        lines.insert(0, f"checkpoint   {best['checkpoint']}")
        if (pictures := layout.trial_folder(outcome.folder, best["id"]) / layout.PICTURES).is_dir():
            lines.insert(1, f"pictures     {pictures}")
    drawn = [file for name in (layout.CURVES, layout.PARALLEL) if (file := outcome.folder / name).exists()]
    lines += [f"{file.stem:<12} {file}" for file in drawn]
    lines.append(f"compare      {command('ui', name, out)}")
    lines += left.lines(command("sync", name, out))
    if outcome.results.get("budget", {}).get("used_up"):
        lines.append("The budget is used up; these are the trials that had begun.")
    if outcome.interrupted:
        lines.append("The sweep was interrupted; these are the trials that had begun.")
        lines.append(f"resume       {resume or command_for('resume', outcome.folder)}")
    for line in lines:
        say(console, line)
    if not outcome.interrupted and (reasons := misfortunes(outcome.results)):
        raise NoResult(*reasons)
