"""What a finished sweep is extended by: more trials of its search, more seeds, or its best trials trained for longer.

Nothing that was decided changes: the new trials' numbers follow those that there are, and stopped trials wait again, as
if the search had not been closed. All of it is one event of the journal, "extended", made here and applied by
`SweepState.extend`; from there on the sweep is one that is not finished, and is resumed like any other.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError
from orchestrator.space.candidates import candidates, identity, is_random, same_run, trainings
from orchestrator.space.plan import Plan, Round
from orchestrator.space.trials import SEARCH, Trial, replicas, trial_name
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.sweep.budget import BudgetMeter
from orchestrator.sweep.changes import FREE
from orchestrator.sweep.folder import as_yaml
from orchestrator.sweep.ranking import configurations, replicated
from orchestrator.sweep.results_file import first_run
from orchestrator.sweep.state import SweepState
from trainables.run import Run

if TYPE_CHECKING:
    from orchestrator.sweep.trial_queue import TrialQueue

EXTENDED, CONFIRMING, FINISHED = "extended", "confirming", "finished"
SETTABLE = tuple(name for name in FREE if name not in ("name", "overrides"))  # by --set
INSTEAD = {"trials": "--trials N", "seeds": "--seeds N", "run.epochs": "--epochs N"}  # of --set, what adds to it
NOTHING = "Say by what: --trials N, --seeds N or --epochs N"


@dataclass(frozen=True)
class Wanted:
    """What the user asks for."""

    trials: int = 0
    """More draws of the search, at each point of its grids."""
    seeds: int = 0
    """More trainings of each configuration."""
    epochs: int = 0
    """More epochs of the best."""
    top: int = 1
    """How many rows of the leaderboard these are."""
    settings: tuple[str, ...] = ()
    """Of `--set`."""


@dataclass(frozen=True)
class Added:
    """What a sweep is extended by, as the event "extended" records it."""

    trials: list[Trial]
    """New ones that are known before they start."""
    longer: dict[str, dict[str, Any]]
    """Trials that are trained for longer than the spec says: id -> `run` and `last_epoch` from now on."""
    rounds: tuple[Round, ...]
    """Of the plan, the new one last."""
    left: int = 0
    """Trials that are left to do, as a budget ended the sweep; not in the event, as they are planned already."""

    def plan(self, before: Plan) -> Plan:
        """The plan of the extended sweep."""
        return Plan(before.spec, [*before.trials, *self.trials], self.rounds)

    def event(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "trials": list(map(asdict, self.trials)),
            "longer": self.longer,
            "rounds": list(map(asdict, self.rounds)),
        }


def is_finished(events: Iterable[dict[str, Any]]) -> bool:
    """Whether a sweep has come to its end, and was not extended since."""
    ends = [event["event"] for event in events if event["event"] in (EXTENDED, FINISHED)]
    return ends[-1:] == [FINISHED]


def extended_plan(plan: Plan, events: Iterable[dict[str, Any]]) -> Plan:
    """A plan, made as that of a sweep that was never extended, with what the events of its journal extended it by.

    Numbers that were planned for trials that confirm the best, and are of none, are left out.
    """
    for event in events:
        if event["event"] == CONFIRMING:
            plan = plan.confirmed(len(event["trials"]))
        if event["event"] == EXTENDED:
            trials = [Trial(**trial) for trial in event["trials"]]
            plan = Plan(plan.spec, [*plan.trials, *trials], tuple(Round(**each) for each in event["rounds"]))
    return plan


def settings_of(wanted: Wanted, spec: SweepSpec) -> list[str]:
    """The settings that make the extended sweep's spec of the present one. Raises UserError for all that may not be."""
    lines = [line for setting in wanted.settings if (line := _contradiction(setting))]
    if wanted.trials and (why := _walks(spec)):
        lines.append(f"--trials: {why} There are no further trials; for others sweep anew with another --name.")
    if wanted.top != 1 and not wanted.epochs:
        lines.append(f"--top {wanted.top}: of the best rows that are trained for longer: say for how many --epochs.")
    if lines:
        raise UserError(*lines)
    more = {"trials": wanted.trials, "seeds": wanted.seeds}
    return [*wanted.settings, *(f"{name}={getattr(spec, name) + count}" for name, count in more.items() if count)]


def _contradiction(setting: str) -> str | None:
    path = setting.partition("=")[0].strip()
    if re.split(r"[.\[]", path)[0] in SETTABLE:
        return None
    if path in INSTEAD:
        return f"--set {setting}: the trials that there are keep it. Say how many more by {INSTEAD[path]}."
    if path == "name":
        return f"--set {setting}: a sweep has the name of its folder. Rename it: vaeorch rename OLD NEW"
    may = f"--set may change {', '.join(SETTABLE)}"
    return f"--set {setting}: contradicts the trials that were made. {may}; for others sweep anew with another --name."


def _walks(spec: SweepSpec) -> str | None:
    """Why a search cannot draw any more; None if it can."""
    if spec.searcher.name == "grid":
        return "the searcher 'grid' has walked through all values."
    if not any(map(is_random, spec.search.values())):
        return "the search draws nothing at random, and each of its configurations is trained."
    return None


def added(plan: Plan, before: SweepSpec, queue: "TrialQueue", wanted: Wanted) -> Added:
    """What a sweep is extended by. `plan` has the extended sweep's spec, and the rounds so far.

    `before` is the spec so far; the queue is that of the finished sweep. Raises UserError.
    """
    state = queue.state
    if empty := state.budget.empty:
        cures = " ".join(f"--set budget.{name}=..." for name in state.budget.limits)
        raise UserError(f"{empty} are used up. Give more than that: {cures}")
    left = list(queue.left())
    if not (wanted.trials or wanted.seeds or wanted.epochs or _was_used_up(before, state)):
        raise UserError(f"nothing is to be added to the sweep. {NOTHING}, or a larger budget for one that was used up.")
    undrawn = [number for number in left if plan.configuration(number) and number not in state.names]
    if wanted.seeds and undrawn:
        cure = "Extend the sweep first by a larger budget alone, then by seeds."
        raise UserError(f"--seeds: the budget ended before {len(undrawn)} trials were drawn. {cure}")
    plan = plan.confirmed(len(state.confirming or ()))
    seeds = list(_more_seeds(plan, state, wanted.seeds))
    trials = seeds + list(_more_draws(plan, before, state, wanted.trials, len(plan) + len(seeds)))
    draws = len(plan.places) - sum(each.draws for each in plan.rounds) if wanted.trials else 0
    if wanted.trials and not draws and len(trials) == len(seeds):
        raise UserError("--trials: the search holds no further configurations: all are trained.")
    searches = bool(trials or draws or left or state.confirming is None)
    known = {trial["configuration"] for trial in state.results_file.trials.values()}
    known |= {trial.configuration for trial in trials}
    again = plan.spec.confirm
    most = min(again.top, len(known) + draws) * again.seeds if again and searches else 0
    new = Round(len(trials), draws, plan.spec.seeds, most)
    longer = _longer(state, wanted)
    longer |= {trial_name(trial.number): as_long for trial in seeds if (as_long := _as_long(trial, state, longer))}
    undone = sum(not queue.confirms(number) for number in left)
    return Added(trials, longer, (*plan.rounds, new), undone)


def _was_used_up(before: SweepSpec, state: SweepState) -> bool:
    """Whether the budget that the sweep had has ended it."""
    budget = BudgetMeter(before.budget.model_dump(exclude_none=True) if before.budget else {}, gpus=0)
    for event in state.journal.events:
        if event["event"] == "epoch":
            budget.pay(event.get("price", {}))
    return budget.empty is not None


def _more_seeds(plan: Plan, state: SweepState, count: int) -> Iterator[Trial]:
    """More trials of each configuration, with the seeds that follow the highest that it has."""
    own: dict[int, list[dict[str, Any]]] = {}
    for trial in state.results_file.trials.values():
        own.setdefault(trial["configuration"], []).append(trial)
    number = len(plan)
    for configuration, trials in own.items():
        run, last = first_run(trials[0]), max(trial["seed"] for trial in trials)
        for seed in range(last + 1, last + 1 + count):
            number += 1
            yield Trial(number, configuration, trials[0]["config"], run | {"seed": seed}, seed, SEARCH)


def _more_draws(plan: Plan, before: SweepSpec, state: SweepState, count: int, last: int) -> Iterator[Trial]:
    """The trials of the next draws that equal no trial of the sweep; `last` is the number of the last trial so far.

    The draws go on where they were: more trials of a search do not change those that it had.
    """
    if not count:
        return
    trials, spec = state.results_file.trials.values(), plan.spec
    taken = {same_run(first_run(trial)) for trial in trials}
    most = trainings(spec) // spec.seeds - trainings(before) // before.seeds
    fresh = (found for found in candidates(spec) if identity(found) not in taken)
    first = max((trial["configuration"] for trial in trials), default=0) + 1
    for configuration, found in enumerate(islice(fresh, most), start=first):
        yield from replicas(configuration, found, range(last + 1, last + 1 + spec.seeds))
        last += spec.seeds


def _longer(state: SweepState, wanted: Wanted) -> dict[str, dict[str, Any]]:
    """The trials of the best rows of the leaderboard that were trained in full, as they are from now on."""
    if not wanted.epochs:
        return {}
    found: list[list[str]] = []
    for row in configurations(state.results_file.results()):
        if row["n"] and row["statuses"].keys() == {"completed"}:
            found.append(row["trials"][: sum(row["statuses"].values())])  # those that it is ranked by
    if not found:
        cure = "Add trials or seeds, and extend the sweep by epochs then."
        raise UserError(f"--epochs: no {_trained_whole(state)} was trained in full: none can be trained longer. {cure}")
    chosen = [trial for row in found[: wanted.top] for trial in row]
    for trial in chosen:
        done, last = state.results_file.entries[trial]["epochs"], state.results_file.trials[trial]["last_epoch"]
        if done < last:
            why = f"trial {trial} has ended by itself after {done} of {last} epochs (run.early_stopping)"
            raise UserError(f"--epochs: {why}: it would train no further. Add trials or seeds, or sweep anew.")
    return {trial: _lengthened(state, trial, wanted.epochs) for trial in chosen}


def _trained_whole(state: SweepState) -> str:
    """What is trained for longer as a whole: a trial or, in a sweep with several seeds, all trials of one."""
    return "configuration, with all of its seeds," if replicated(state.results_file.results()) else "trial"


def _as_long(trial: Trial, state: SweepState, longer: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """A further seed of a configuration that is trained for longer is trained as long: they are compared."""
    own = [
        longer.get(name, of)
        for name, of in state.results_file.trials.items()
        if (of["configuration"], of["stage"]) == (trial.configuration, SEARCH) and (name in longer or "first_run" in of)
    ]
    if not own:
        return None
    of = max(own, key=lambda one: one["last_epoch"])
    return {"run": of["run"] | {"seed": trial.seed}, "last_epoch": of["last_epoch"]}


def _lengthened(state: SweepState, trial: str, epochs: int) -> dict[str, Any]:
    of = state.results_file.trials[trial]
    run, last = Run.model_validate(of["run"]), of["last_epoch"] + epochs
    run = run.longer(last) if last > run.epochs else run  # else a scheduler had set an earlier end
    return {"run": run.model_dump(mode="json"), "last_epoch": last}


def digest(file: Path) -> str:
    """A digest of a file's content. Raises OSError."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def settle_spec(folder: Path, events: Iterable[dict[str, Any]]) -> None:
    """Write the spec.yaml of the last extension, where a kill came before that. Raises OSError.

    The event comes first and says which file it replaces: so a kill between the two loses nothing, and a file that was
    edited since is left as it is, for `resume` to judge.
    """
    last = next((event for event in reversed(list(events)) if event["event"] == EXTENDED), None)
    file = folder / layout.SPEC
    if last and last["replaces"] == digest(file):
        write_whole(file, as_yaml(SweepSpec.model_validate_json(json.dumps(last["spec"]))))
