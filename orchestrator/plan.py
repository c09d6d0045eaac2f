"""What a sweep will do, told before it starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.asha import rung_epochs
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
        "search": domains,
        "objective": spec.objective.model_dump(),
        "scheduler": spec.scheduler.model_dump(),
        "resources": spec.resources.model_dump(),
        "slots": min(count_slots(spec.resources), len(trials)),
        "epochs_at_most": sum(most_epochs(spec, trial) for trial in trials),
        "epochs_expected": round(expected_epochs(spec, trials)),
        "notes": notes(spec, trials),
    }


def as_text(plan: dict[str, Any]) -> str:
    """The plan for people."""
    resources, scheduler = dict(plan["resources"]), dict(plan["scheduler"])
    lines = [
        f"{plan['name']}: {plan['trials']} trials into {plan['folder']}",
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
    """Epochs of a whole sweep: under ASHA one in reduction_factor trials passes each rung."""
    if not hasattr(spec.scheduler, "grace_epochs"):
        return sum(most_epochs(spec, trial) for trial in trials)
    eta = spec.scheduler.reduction_factor
    rungs = [0, *rung_epochs(spec.scheduler.grace_epochs, eta, spec.scheduler.max_epochs), spec.scheduler.max_epochs]
    return len(trials) * sum(
        (later - earlier) / eta**k for k, (earlier, later) in enumerate(zip(rungs, rungs[1:], strict=False))
    )


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
