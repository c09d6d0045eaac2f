"""What Tune calls where trials share slots. Each slot is a trial of Tune, paused whenever its trials change.

`sweep/shared_slots.py` decides which trials train in which slot.
"""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from orchestrator.clusters.connection import node_lost
from orchestrator.execution.oom import oom_kills
from orchestrator.execution.tune import (
    MEMORY_NOTICE,
    MEMORY_RETRIES,
    NODE_NOTICE,
    OOM_WORDS,
    Attentive,
    Listener,
    reason_of,
)
from orchestrator.sweep.shared_slots import SharedSlots
from orchestrator.sweep.state import MEMORY, NODE, SLOT

SHARED_NOTICE = "The process in which {} trials share a slot failed: each of them goes on alone."


class SlotTrial(Trial):
    """Tune's trial of a slot. `failure` is what failed last: the memory, the node, or what is in the slot."""

    failure = SLOT

    def handle_error(self, exc: Exception | None = None) -> None:
        super().handle_error(exc)
        short = any(word in str(exc) for word in OOM_WORDS)
        self.failure = NODE if node_lost(exc) else MEMORY if short else SLOT


class SlotSource(SearchAlgorithm):
    """Gives Tune a trial for each slot; `config` is what all have. It is finished when the sweep is.

    Until then Tune keeps the actor of a slot that pauses, with the state of the trials that stay there.
    """

    def __init__(self, slots: SharedSlots, config: dict[str, Any]):
        self.slots, self.config = slots, config
        self.waiting = list(range(len(slots.members)))

    def add_configurations(self, experiments: list[Experiment]) -> None:
        [self.experiment] = experiments

    def next_trial(self) -> Trial | None:
        if not self.waiting:
            return None
        slot, spec = self.waiting.pop(0), self.experiment.spec
        return SlotTrial(
            spec["run"],
            config=self.config | {"slot": slot, "trials": [], "decided": True},
            trial_id=f"slot-{slot + 1}",
            storage=spec["storage"],
            placement_group_factory=spec["resources_per_trial"],
            max_failures=-1,  # it is always started again
        )

    def is_finished(self) -> bool:
        return self.slots.over


class SlotScheduler(Attentive):
    """Starts a slot when there are trials for it, and pauses it when others are to train there."""

    def __init__(self, slots: SharedSlots, place: dict[str, Any]):
        super().__init__()
        self.slots, self.place = slots, place
        self.trials: dict[int, Trial] = {}

    def on_trial_add(self, tune_controller, trial: Trial) -> None:
        if slot_of(trial) not in self.trials:  # else it is started again after a failure
            self.trials[slot_of(trial)] = trial
            trial.set_status(Trial.PAUSED)

    def on_trial_result(self, tune_controller, trial: Trial, result: dict) -> str:
        slot = slot_of(trial)
        if why := result.get("refused"):
            self.slots.refuse(slot, why)
            return TrialScheduler.PAUSE
        if "results" not in result:
            return TrialScheduler.CONTINUE  # `SlotListener` takes in what was measured
        return TrialScheduler.CONTINUE if self.slots.report(slot, result["results"]) else TrialScheduler.PAUSE

    def choose_trial_to_run(self, tune_controller) -> Trial | None:
        for trial in self.trials.values():
            if trial.status == Trial.PAUSED and self.furnish(trial):
                return trial
        if all(trial.status == Trial.PAUSED for trial in self.trials.values()):
            if self.slots.close():
                return self.choose_trial_to_run(tune_controller)
            for trial in self.trials.values():
                tune_controller.stop_trial(trial)
        return None

    def furnish(self, trial: Trial) -> bool:
        """Put into a slot's config what trains there now. Returns whether it is anything."""
        slot = slot_of(trial)
        trials = [config | self.place for config in self.slots.fill(slot)]
        trial.config = trial.config | {"trials": trials, "decided": self.slots.decided(slot)}
        return bool(trials)


class SlotListener(Listener):
    """Passes on what Tune reports of slots, as what it means for their trials."""

    def __init__(self, scheduler: SlotScheduler, *others):
        super().__init__(scheduler.slots.state, *others)
        self.scheduler, self.slots = scheduler, scheduler.slots

    def on_trial_start(self, iteration, trials, trial: Trial, **info) -> None:
        if self.slots.decided(slot_of(trial)):
            self._begin(trial)

    def on_trial_result(self, iteration, trials, trial: Trial, result: dict, **info) -> None:
        slot = slot_of(trial)
        for name in self.slots.members[slot]:
            self.nodes[name] = result.get("nodes", [])
        if measured := result.get("accepted"):
            self._begin(trial)
            self.slots.accept(slot, **measured)
        for one in result.get("results", ()):
            if notice := one.get("notice"):
                self._news("trial_noticed", one["id"], notice)
            if self.state.standing.get(one["id"]):
                self._news("trial_paused", one["id"])

    def on_trial_save(self, iteration, trials, trial: Trial, **info) -> None:
        """A slot pauses whenever its trials change."""

    def on_trial_complete(self, iteration, trials, trial: Trial, **info) -> None:
        """The sweep is over."""

    def on_trial_recover(self, iteration, trials, trial: Trial, **info) -> None:
        self.cluster.check()
        if self.stop.number is None and not self._fault(trial):  # else the signal ended its process too
            slot, text = slot_of(trial), Path(trial.error_file).read_text(encoding="utf-8")
            members, kills = list(self.slots.members[slot]), oom_kills()
            self.slots.failed(
                slot, trial.failure, text.rpartition("Failure # ")[2], reason_of(text, kills > self.oom_kills)
            )
            self.oom_kills = kills
            self._explain(members, trial.failure)
            self.scheduler.furnish(trial)

    def _begin(self, trial: Trial) -> None:
        self.slots.begin(slot_of(trial), lambda name: self._news("trial_resumed", name))

    def _explain(self, members: list[str], failure: str) -> None:
        for name in members if failure == NODE else ():
            self._news("trial_noticed", name, NODE_NOTICE)
        if failure == MEMORY and len(members) == 1 and members[0] in self.state.standing:
            times = self.state.retries[members[0], MEMORY]
            self._news("trial_noticed", members[0], MEMORY_NOTICE.format(times, MEMORY_RETRIES))
        elif failure != NODE and len(members) > 1:
            self._news(
                "trial_noticed", members[0], f"The process of its {len(members)} trials failed: each goes on alone."
            )

    def _news(self, name: str, trial: str, *values) -> None:
        self.state.news.append((name, trial, *values))


def slot_of(trial: Trial) -> int:
    """The number of the slot."""
    return trial.config["slot"]
