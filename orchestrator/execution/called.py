"""What Tune is given for a sweep: a slot for each trial, or slots that several trials share."""

from typing import Any, NamedTuple

from ray.tune import Callback, Trainable
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from orchestrator.execution.shared_tune import SlotListener, SlotScheduler, SlotSource
from orchestrator.execution.tune import Listener, Scheduler, Source
from orchestrator.sweep.shared_slots import AUTO_MOST, SharedSlots
from orchestrator.sweep.trial_queue import TrialQueue


class Called(NamedTuple):
    """The classes and objects that Tune calls."""

    slot: type[Trainable]
    source: SearchAlgorithm
    scheduler: TrialScheduler
    listener: Callback


def calls(queue: TrialQueue, slots: int, place: dict[str, Any], notified: tuple) -> Called:
    """What Tune calls for the sweep of `queue` on so many slots.

    Args:
        place: what a slot's config has besides the trial: how its files come to the driver.
        notified: of what happens: what `Listener` takes besides the state.
    """
    resources = queue.spec.resources
    if resources.trials_per_slot == 1:
        from orchestrator.execution.slot import Slot

        return Called(Slot, Source(queue, place), Scheduler(queue, slots), Listener(queue.state, *notified))
    from orchestrator.execution.shared_slot import SharedSlot

    auto = resources.trials_per_slot == "auto"
    shared = SharedSlots(queue, slots, AUTO_MOST if auto else resources.trials_per_slot)
    config = {"folder": str(queue.state.results_file.folder), "bits": auto, "threads": resources.threads}
    scheduler = SlotScheduler(shared, place)
    return Called(SharedSlot, SlotSource(shared, config | place), scheduler, SlotListener(scheduler, *notified))
