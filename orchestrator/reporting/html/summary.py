"""The head of the page: what the sweep is, and what came of it in a few numbers."""

from collections import Counter

from orchestrator.reporting.html.content import SweepData
from orchestrator.reporting.html.markup import Markup, element, joined, paragraph
from orchestrator.reporting.html.tables import facts
from orchestrator.reporting.html.trials import duration, trained_hours
from orchestrator.sweep.ranking import best_summary, configurations, replicated
from orchestrator.text import counted, show


def head(sweep: SweepData) -> Markup:
    """Name, description, and the main numbers."""
    description = sweep.spec.get("description") or ""
    running = counted(len(sweep.unfinished), "trial")
    note = f"{running} began and did not end: the sweep runs, or was interrupted." if sweep.unfinished else ""
    return joined(
        element("h1", sweep.results["name"]),
        paragraph(description, class_="description") if description else None,
        paragraph(note, class_="note") if note else None,
        facts(_facts(sweep)),
    )


def _facts(sweep: SweepData) -> list[tuple[str, str]]:
    statuses = Counter(trial.entry["status"] for trial in sweep.trials)
    counts = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    run = sweep.spec.get("run") or {}
    data = (run.get("data") or {}).get("name")
    epochs = sum(trial.entry["epochs"] for trial in sweep.trials)
    known = [
        (f"best {sweep.metric}", _best(sweep)),
        ("trials", f"{len(sweep.trials)}" + (f" ({counts})" if counts else "")),
        ("epochs", str(epochs)),
        ("training", duration(trained_hours(sweep))),
        ("data", str(data) if data else ""),
    ]
    return [(name, value) for name, value in known if value]


def _best(sweep: SweepData) -> str:
    """The best objective and who has it: as the leaderboard ranks them."""
    metrics, tags = best_summary(sweep.results)
    if not metrics:
        return "none yet" if sweep.unfinished else "none"
    if replicated(sweep.results):
        best = next(one for one in configurations(sweep.results) if one["n"])
        spread = "" if best["std"] is None else f" ± {show(best['std'])}"
        who = f"configuration {tags['best_configuration']}, {counted(best['n'], 'trial')}"
        return f"{show(best['mean'])}{spread} ({who})"
    return f"{show(metrics[sweep.metric])} (trial {tags['best_trial']})"
