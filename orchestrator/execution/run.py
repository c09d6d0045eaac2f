"""Runs a sweep in its folder: a private Ray, Tune's loop, and results.json.

`tune.py` is what Tune calls; `sweep/state.py` holds the state of the sweep.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.clusters.connection import THIS_MACHINE, Connection
from orchestrator.clusters.local import replaced
from orchestrator.clusters.resources import slot_share
from orchestrator.execution.drawing import BestPictures
from orchestrator.signals import Deferred
from orchestrator.space.plan import Plan
from orchestrator.storage.disk import disk_errors_reported, faults_raised
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.open import USUAL, Start, open_queue
from orchestrator.sweep.ranking import best_summary
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.shared_slots import RETRIES
from orchestrator.sweep.state import SLOT
from orchestrator.sweep.trial_queue import TrialQueue


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `results` is the content of results.json."""

    folder: Path
    results: dict
    stop: KeyboardInterrupt | None  # what interrupted it before every trial had ended; None if nothing did

    @property
    def interrupted(self) -> bool:
        return self.stop is not None


def run_sweep(
    plan: Plan, folder: Path, tracker, console, start: Start = USUAL, cluster: Connection = THIS_MACHINE
) -> Outcome:
    """Run a sweep from wherever the journal in `folder` left off; `claim` made the folder, `locks.driver` is held.

    Ctrl-C and SIGTERM end the sweep in order. `sweep.events.Listeners` says how tracker and console are notified of
    trials; last of all, `sweep_ended(status, best_metrics, tags)` has the status "completed" or "aborted".

    Raises UserError for lacking resources, a journal that does not fit the spec, and a full disk.
    """
    slots, stop = min(cluster.slots(plan.spec.resources), len(plan)), None
    with disk_errors_reported(folder, f"Free room, then go on: {cluster.resume(folder)}", cluster.host):
        queue = open_queue(plan, folder, start, cluster.usd_per_hour)
        state, results_file = queue.state, queue.state.results_file
        listeners = Listeners(results_file, tracker, console)
        listeners.recall(state)
        pictures = BestPictures(plan.spec, listeners)
        try:
            if not queue.complete() or pictures.left():
                software = None if cluster is THIS_MACHINE else start.made_with
                tune_all(queue, pictures, slots, cluster, software)
            pictures.tell()
        except KeyboardInterrupt as signal:
            stop = signal
            listeners.notify(state.take_news())
        finally:
            over = queue.complete() and not pictures.left()
            stop = None if over else stop or KeyboardInterrupt()
            results_file.interrupt()
            results_file.write()
        finish(results_file, "aborted" if stop else "completed", tracker, console)
        if not stop:
            state.finish()
    return Outcome(folder, results_file.results(), stop)


def finish(results_file: ResultsFile, status: str, tracker, console) -> None:
    """Notify tracker and console of the sweep's end, with its best trial or configuration if it has one."""
    metrics, tags = best_summary(results_file.results())
    tags |= {"used_up": results_file.budget.empty} if results_file.budget.empty else {}
    for listener in (tracker, console):
        listener.sweep_ended(status, metrics, tags)


def tune_all(
    queue: TrialQueue, pictures: BestPictures, slots: int, cluster: Connection, software: dict[str, Any] | None
) -> None:
    """Run Tune's loop until every trial has ended, then draw the best.

    `software` is what all nodes of a cluster must have, if known. Raises KeyboardInterrupt, and UserError for a node
    that differs.
    """
    resources = queue.spec.resources
    again = f"Go on with it: {cluster.resume(queue.state.results_file.folder)}"
    with cluster.ray(resources.gpus_per_worker > 0, resources.workers > 1, again) as scratch:
        from ray import tune

        from orchestrator.clusters.serving import place_of
        from orchestrator.execution.called import calls
        from orchestrator.execution.tune import Silence, node_faults_reported

        place = place_of(queue.state.results_file.folder, cluster)
        with (
            node_faults_reported(again),
            slots_environment(cluster),
            place as known,
            Deferred() as stop,
            faults_raised(),
        ):
            if not queue.complete():
                here = known | ({"software": software} if software else {})
                called = calls(queue, slots, here, (pictures.listeners, stop, cluster))
                tune.run(
                    tune.with_resources(called.slot, slot_share(resources)),
                    name="tune",
                    storage_path=str(scratch),
                    search_alg=called.source,
                    scheduler=called.scheduler,
                    callbacks=[called.listener, Silence()],
                    max_failures=RETRIES[SLOT],
                    reuse_actors=True,
                    raise_on_failed_trial=False,
                    verbose=0,
                )
            if queue.complete():
                pictures.draw(known, cluster, stop.check)


@contextmanager
def slots_environment(cluster: Connection) -> Iterator[None]:
    """Inside this context Tune gives slots what they do not inherit, by a runtime_env, which Ray logs.

    AWS's credentials they inherit everywhere. On this machine they inherit all that there is, and without a runtime_env
    they are processes that Ray has ready, so that a sweep begins a second earlier.
    """
    from ray.tune.execution import class_cache

    passed = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if not name.startswith("AWS")}
    names, fixed = (set(), {}) if cluster is THIS_MACHINE else (passed, class_cache.DEFAULT_ENV_VARS)
    with replaced(class_cache, "ENV_VARS_TO_PROPAGATE", names), replaced(class_cache, "DEFAULT_ENV_VARS", fixed):
        yield
