"""What a sweep will do, told before it starts."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.clusters.resources import count_slots
from orchestrator.schedulers.asha import rung_epochs
from orchestrator.schedulers.hyperband import Deal, bracket_graces, bracket_sizes
from orchestrator.space.trials import Trial, examples, notes, sizes

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


def plan(spec: "SweepSpec", trials: list[Trial], out: Path) -> dict[str, Any]:
    """The plan in plain values; `trials` are those known up front. Raises UserError: this machine lacks resources."""
    search, confirm = sizes(spec, len(trials))
    epochs = [trial.run["epochs"] for trial in trials] or [most_of_any(spec)] * search
    again = confirm * spec.run.epochs
    domains = {path: domain.model_dump(mode="json") for path, domain in spec.search.items()}
    return {
        "name": spec.name,
        "folder": str((out / spec.name).resolve()),
        "trials": search + confirm,
        "confirming": confirm,
        "seeds": spec.seeds,
        "search": domains,
        "searcher": spec.searcher.model_dump(),
        "objective": spec.objective.model_dump(),
        "scheduler": spec.scheduler.model_dump(),
        "resources": spec.resources.model_dump(),
        "budget": spec.budget.model_dump(exclude_none=True) if spec.budget else {},
        "slots": min(count_slots(spec.resources), search + confirm),
        "epochs_at_most": sum(most_epochs(spec, each) for each in epochs) + again,
        "epochs_expected": round(within_budget(spec, expected_epochs(spec, epochs) + again)),
        "paper": len(spec.paper),
        "notes": notes(spec, epochs) + few_trials(spec, search),
    }


def as_text(plan: dict[str, Any]) -> str:
    """The plan for people."""
    resources, seeds = dict(plan["resources"]), plan["seeds"]
    searching = plan["trials"] - plan["confirming"]
    times = f" ({searching // seeds} configurations, {seeds} seeds each)" if seeds > 1 else ""
    times += f", {plan['confirming']} of them to confirm the best" if plan["confirming"] else ""
    lines = [
        f"{plan['name']}: {plan['trials']} trials{times} into {plan['folder']}",
        f"  objective  {plan['objective']['metric']} ({plan['objective']['mode']})",
        f"  searcher   {named(plan['searcher'])}",
        f"  scheduler  {named(plan['scheduler'])}",
        f"  resources  {plan['slots']} slots, each with {pairs(resources)}",
        *([f"  budget     {pairs(plan['budget'])}"] if plan["budget"] else []),
        f"  epochs     {plan['epochs_at_most']:,} at most, about {plan['epochs_expected']:,} expected",
        *(f"  search     {path}: {flow(domain)}" for path, domain in plan["search"].items()),
        *([f"  paper      {plan['paper']} values to compare with"] if plan["paper"] else []),
        *(f"  note       {note}" for note in plan["notes"]),
    ]
    return "\n".join(lines)


def most_epochs(spec: "SweepSpec", epochs: int) -> int:
    """The epochs that a trial of so many may train."""
    return getattr(spec.scheduler, "max_epochs", None) or epochs


def most_of_any(spec: "SweepSpec") -> int:
    """The epochs of the longest run of a search."""
    return max([spec.run.epochs, *(trial.run["epochs"] for trial in examples(spec, []))])


def expected_epochs(spec: "SweepSpec", epochs: list[int]) -> float:
    """Epochs of a whole search, from those of each trial's run."""
    return EXPECTED[spec.scheduler.name](spec, epochs)


def within_budget(spec: "SweepSpec", epochs: float) -> float:
    return min(epochs, spec.budget.epochs) if spec.budget and spec.budget.epochs else epochs


def brackets(scheduler: Any, trials: int) -> list[tuple[int, int]]:
    """The first rung of each bracket, of which ASHA is one, and how many of so many trials it gets."""
    if scheduler.name == "asha":
        return [(scheduler.grace_epochs, trials)]
    graces = bracket_graces(scheduler.grace_epochs, scheduler.reduction_factor, scheduler.max_epochs)
    deal = Deal(bracket_sizes(len(graces), scheduler.reduction_factor))
    counts = Counter(deal.bracket(number) for number in range(1, trials + 1))
    return [(grace, counts[number]) for number, grace in enumerate(graces)]


def _halved(spec: "SweepSpec", epochs: list[int]) -> float:
    scheduler = spec.scheduler
    return sum(halved(scheduler, grace, trials) for grace, trials in brackets(scheduler, len(epochs)) if trials)


EXPECTED = {
    "asha": _halved,
    "hyperband": _halved,
    "none": lambda spec, epochs: sum(most_epochs(spec, each) for each in epochs),
}
"""The scheduler's name -> the epochs that trials of so many each will take together, in the mean."""


def halved(scheduler: Any, grace_epochs: int, trials: int) -> float:
    """Epochs of so many trials under ASHA in the mean: one in reduction_factor passes each rung, and at least one."""
    eta, most = scheduler.reduction_factor, scheduler.max_epochs
    rungs = [0, *rung_epochs(grace_epochs, eta, most), most]
    return sum((later - earlier) * max(1, trials / eta**k) for k, (earlier, later) in enumerate(pairwise(rungs)))


def few_trials(spec: "SweepSpec", trials: int) -> list[str]:
    """A note where a rung will hold too few trials for one of them to be promoted before the search is closed."""
    scheduler = spec.scheduler
    if not hasattr(scheduler, "grace_epochs"):
        return []
    eta, last = scheduler.reduction_factor, scheduler.max_epochs
    rungs = {grace: len(rung_epochs(grace, eta, last)) for grace, _ in brackets(scheduler, trials)}
    few = [(of, eta ** rungs[grace]) for grace, of in brackets(scheduler, trials) if 1 < of < eta ** rungs[grace]]
    if not few:
        return []
    of, needed = few[0]
    where = "" if scheduler.name == "asha" else " of a bracket"
    return [
        f"{of} trials{where} are too few to be halved down to one (that takes {needed}): when none is left to start,"
        f" the best of each rung goes on, so one is trained to epoch {last}."
    ]


def named(record: dict[str, Any]) -> str:
    """A record with a name in a few words; what is not set is left out."""
    return (
        f"{record['name']} {pairs({key: value for key, value in record.items() if value and key != 'name'})}".rstrip()
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
