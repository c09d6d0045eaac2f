"""What a sweep will do, told before it starts."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.asha import rung_epochs
from orchestrator.hyperband import Deal, bracket_graces, bracket_sizes
from orchestrator.local_ray import count_slots
from orchestrator.space import Trial, notes

if TYPE_CHECKING:
    from orchestrator.spec import SweepSpec


def plan(spec: "SweepSpec", trials: list[Trial], out: Path) -> dict[str, Any]:
    """The plan in plain values. Raises UserError when this machine has not the resources."""
    domains = {path: domain.model_dump(mode="json") for path, domain in spec.search.items()}
    return {
        "name": spec.name,
        "folder": str((out / spec.name).resolve()),
        "trials": len(trials),
        "seeds": spec.seeds,
        "search": domains,
        "objective": spec.objective.model_dump(),
        "scheduler": spec.scheduler.model_dump(),
        "resources": spec.resources.model_dump(),
        "slots": min(count_slots(spec.resources), len(trials)),
        "epochs_at_most": sum(most_epochs(spec, trial) for trial in trials),
        "epochs_expected": round(expected_epochs(spec, trials)),
        "notes": notes(spec, trials) + none_finishes(spec, len(trials)),
    }


def as_text(plan: dict[str, Any]) -> str:
    """The plan for people."""
    resources, scheduler, seeds = dict(plan["resources"]), dict(plan["scheduler"]), plan["seeds"]
    times = f" ({plan['trials'] // seeds} configurations, {seeds} seeds each)" if seeds > 1 else ""
    lines = [
        f"{plan['name']}: {plan['trials']} trials{times} into {plan['folder']}",
        f"  objective  {plan['objective']['metric']} ({plan['objective']['mode']})",
        f"  scheduler  {scheduler.pop('name')} {pairs(scheduler)}".rstrip(),
        f"  resources  {plan['slots']} slots, each with {pairs(resources)}",
        f"  epochs     {plan['epochs_at_most']:,} at most, about {plan['epochs_expected']:,} expected",
        *(f"  search     {path}: {flow(domain)}" for path, domain in plan["search"].items()),
        *(f"  note       {note}" for note in plan["notes"]),
    ]
    return "\n".join(lines)


def most_epochs(spec: "SweepSpec", trial: Trial) -> int:
    """The epochs that a trial may train."""
    return getattr(spec.scheduler, "max_epochs", None) or trial.run["epochs"]


def expected_epochs(spec: "SweepSpec", trials: list[Trial]) -> float:
    """Epochs of a whole sweep."""
    return sum(EXPECTED[spec.scheduler.name](spec, trials))


def _under_asha(spec: "SweepSpec", trials: list[Trial]) -> Iterator[float]:
    return (halved(spec.scheduler, spec.scheduler.grace_epochs) for _ in trials)


def _under_hyperband(spec: "SweepSpec", trials: list[Trial]) -> Iterator[float]:
    scheduler = spec.scheduler
    graces = bracket_graces(scheduler.grace_epochs, scheduler.reduction_factor, scheduler.max_epochs)
    deal = Deal(bracket_sizes(len(graces), scheduler.reduction_factor))
    return (halved(scheduler, graces[deal.bracket(trial.number)]) for trial in trials)


EXPECTED = {
    "asha": _under_asha,
    "hyperband": _under_hyperband,
    "none": lambda spec, trials: (most_epochs(spec, trial) for trial in trials),
}
"""The scheduler's name -> the epochs that each trial will take in the mean."""


def halved(scheduler: Any, grace_epochs: int) -> float:
    """Epochs of a trial under ASHA in the mean: one in reduction_factor passes each rung."""
    eta, most = scheduler.reduction_factor, scheduler.max_epochs
    rungs = [0, *rung_epochs(grace_epochs, eta, most), most]
    return sum((later - earlier) / eta**k for k, (earlier, later) in enumerate(pairwise(rungs)))


def none_finishes(spec: "SweepSpec", trials: int) -> list[str]:
    """A note where ASHA has too few trials to promote one past every rung."""
    if not hasattr(spec.scheduler, "grace_epochs"):
        return []
    eta, last = spec.scheduler.reduction_factor, spec.scheduler.max_epochs
    needed = eta ** len(rung_epochs(spec.scheduler.grace_epochs, eta, last))
    if trials >= needed:
        return []
    return [f"{trials} trials are too few for one to reach epoch {last}: ASHA needs {needed}, or other rungs."]


def pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )


def flow(value: Any) -> str:
    """Plain values as YAML writes them in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value)
