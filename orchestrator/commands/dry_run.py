"""Describes a sweep before it starts: `sweep --dry-run` prints all of it, `sweep` its notes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.space.plan import Plan
from orchestrator.space.stackable import several_of_a_kind
from orchestrator.space.trials import notes
from orchestrator.storage.disk import disk_errors_reported
from orchestrator.sweep.folder import why_taken
from orchestrator.sweep.shared_slots import AUTO_MOST
from trainables.run import Run

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


def described(plan: Plan, folder: Path, slots: int | None) -> dict[str, Any]:
    """The plan of the sweep in `folder`, on nodes with so many slots, in plain values."""
    spec = plan.spec
    epochs = [trial.run["epochs"] for trial in plan.trials]
    epochs += [most_of_any(plan)] * (plan.searching - len(epochs))
    again = plan.confirming * spec.run.epochs
    domains = {path: domain.model_dump(mode="json") for path, domain in spec.search.items()}
    return {
        "name": spec.name,
        "folder": str(folder),
        "trials": len(plan),
        "confirming": plan.confirming,
        "seeds": spec.seeds,
        "search": domains,
        "searcher": spec.searcher.model_dump(),
        "objective": spec.objective.model_dump(),
        "scheduler": spec.scheduler.model_dump(),
        "resources": spec.resources.model_dump(),
        "budget": spec.budget.model_dump(exclude_none=True) if spec.budget else {},
        "slots": slots and min(slots, len(plan)),
        "of_a_kind": several_of_a_kind(trial.run for trial in plan.trials) if plan.trials else None,
        "epochs_at_most": sum(map(spec.scheduler.most_epochs, epochs)) + again,
        "epochs_expected": round(within_budget(spec, spec.scheduler.expected_epochs(epochs) + again)),
        "paper": sum(1 for table in spec.paper for _ in table.cells()),
        "notes": notes(spec, epochs) + spec.scheduler.notes(plan.searching) + notes_of_runs(plan),
    }


def notes_of_runs(plan: Plan) -> list[str]:
    """What works badly in some of the sweep's runs, each note once."""
    methods = {json.dumps([trial.run["method"], trial.run["network"]]): trial.run for trial in plan.examples}
    return list(dict.fromkeys(note for run in methods.values() for note in Run.model_validate(run).notes()))


def print_plan(plan: Plan, folder: Path, json_wanted: bool, slots: int | None) -> None:
    """Print what a sweep would do in `folder`, on nodes with so many slots; None: it is not known yet."""
    planned = described(plan, folder, slots)
    with disk_errors_reported(folder):
        planned["notes"] += [taken] if (taken := why_taken(folder)) else []
    click.echo(json.dumps(planned, indent=2) if json_wanted else as_text(planned))


def as_text(plan: dict[str, Any]) -> str:
    """The plan as text."""
    resources, seeds = dict(plan["resources"]), plan["seeds"]
    searching = plan["trials"] - plan["confirming"]
    times = f" ({searching // seeds} configurations, {seeds} seeds each)" if seeds > 1 else ""
    times += f", {plan['confirming']} of them to confirm the best" if plan["confirming"] else ""
    lines = [
        f"{plan['name']}: {plan['trials']} trials{times} into {plan['folder']}",
        f"  objective  {plan['objective']['metric']} ({plan['objective']['mode']})",
        f"  searcher   {named(plan['searcher'])}",
        f"  scheduler  {named(plan['scheduler'])}",
        f"  resources  {slots_text(plan['slots'])}, each with {pairs(resources)}",
        *sharing(plan),
        *([f"  budget     {pairs(plan['budget'])}"] if plan["budget"] else []),
        f"  epochs     {plan['epochs_at_most']:,} at most, about {plan['epochs_expected']:,} expected",
        *(f"  search     {path}: {flow(domain)}" for path, domain in plan["search"].items()),
        *(
            [f"  paper      {plan['paper']} printed numbers to compare with: vaeorch report {plan['name']}"]
            if plan["paper"]
            else []
        ),
        *(f"  note       {note}" for note in plan["notes"]),
    ]
    return "\n".join(lines)


def sharing(plan: dict[str, Any]) -> list[str]:
    """How many trials may share slots, where they do."""
    most, alike = plan["resources"]["trials_per_slot"], plan["of_a_kind"]
    if most == 1:
        return []
    found = "trials that are" if alike is None else f"{alike} of {plan['trials']} trials are"
    where = f"up to {AUTO_MOST}" if most == "auto" else f"at most {most}"
    return [f"  together   {found} alike but for their numbers: {where} of them in a slot"]


def slots_text(slots: int | None) -> str:
    return "as many slots as the cluster has room for" if slots is None else f"{slots} slots"


def most_of_any(plan: Plan) -> int:
    """The epochs of the longest run that the search can reach."""
    return max([plan.spec.run.epochs, *(trial.run["epochs"] for trial in plan.examples)])


def within_budget(spec: "SweepSpec", epochs: float) -> float:
    return min(epochs, spec.budget.epochs) if spec.budget and spec.budget.epochs else epochs


def named(record: dict[str, Any]) -> str:
    """A record in one line: its name and the fields that are set."""
    return (
        f"{record['name']} {pairs({key: value for key, value in record.items() if value and key != 'name'})}".rstrip()
    )


def pairs(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )


def flow(value: Any) -> str:
    """Plain values in YAML's one-line (flow) style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value)
