"""Which trial the scheduler gives Tune a slot for, without Tune: states that a sweep meets seldom."""

import pytest
from ray.tune.experiment import Trial

from orchestrator.execution.tune import Scheduler
from orchestrator.sweep import reuse
from orchestrator.sweep.reuse import Finished
from orchestrator.sweep.trial_queue import TrialQueue
from tests.support.one_slot import ASHA, EPOCHS, LOW, opened, spec_of


class Held:
    """Of one of Tune's trials, what the scheduler sees."""

    def __init__(self, config: dict):
        self.config, self.status = dict(config), Trial.PENDING

    def set_status(self, status: str) -> None:
        self.status = status

    def is_finished(self) -> bool:
        return self.status in (Trial.TERMINATED, Trial.ERROR)


class Stage:
    """A scheduler with its trials, and what Tune would do with them."""

    def __init__(self, queue: TrialQueue, slots: int):
        self.state, self.scheduler = queue.state, Scheduler(queue, slots)
        self.trials = {n: Held(queue.state.results_file.trials[f"{n:04d}"]) for n in range(1, len(queue) + 1)}
        for trial in self.trials.values():
            self.scheduler.on_trial_add(self, trial)

    def stop_trial(self, trial: Held) -> None:
        trial.status = Trial.TERMINATED

    def choose(self) -> int | None:
        """The trial that gets a slot now."""
        trial = self.scheduler.choose_trial_to_run(self)
        return trial and trial.config["number"]

    def start(self, number: int) -> None:
        assert self.choose() == number
        self.trials[number].status = Trial.RUNNING
        self.state.begin(f"{number:04d}")

    def report(self, number: int, value: float, epoch: int = 1) -> str:
        result = {"epoch": epoch, "seconds": 1.0, "metrics/val/elbo": value}
        return self.scheduler.on_trial_result(self, self.trials[number], result)

    def end(self, number: int, status: str) -> None:
        self.trials[number].status = Trial.ERROR if status == "failed" else Trial.TERMINATED
        self.state.end(f"{number:04d}", status, "why")


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(opened(tmp_path, spec_of(LOW, trials=4, scheduler=ASHA)), slots=2)


def test_when_the_promoted_trial_fails_while_it_pauses_new_ones_start(stage):
    stage.start(1)
    stage.start(2)
    assert stage.report(1, 0.0) == "PAUSE"  # and writes its checkpoint
    stage.end(2, "diverged")  # so that 1 is promoted
    assert stage.choose() is None and stage.scheduler.promoted is stage.trials[1]
    stage.end(1, "failed")
    stage.start(3)
    stage.start(4)


def test_trials_taken_from_an_earlier_sweep_may_promote_one_that_pauses(tmp_path, monkeypatch):
    class FinishedTrials:
        def like(self, config: dict) -> Finished | None:
            return Finished("old/0001", None) if config["number"] > 1 else None

    monkeypatch.setattr(reuse, "copy", lambda found, folder: [{"val/elbo": -9.0}] * EPOCHS)
    stage = Stage(opened(tmp_path, spec_of(LOW, trials=3, scheduler=ASHA), finished_trials=FinishedTrials()), slots=1)
    stage.start(1)
    assert stage.report(1, 0.0) == "PAUSE"
    stage.trials[1].status = Trial.PAUSED
    stage.start(1)
    assert [stage.trials[number].status for number in (1, 2, 3)] == [Trial.RUNNING, Trial.TERMINATED, Trial.PAUSED]


def test_the_last_trial_closes_the_search_once_it_has_written_its_checkpoint(tmp_path):
    stage = Stage(opened(tmp_path, spec_of(LOW, trials=2, scheduler=ASHA | {"reduction_factor": 3})), slots=2)
    stage.start(1)
    assert stage.choose() == 2
    stage.trials[2].status = Trial.PENDING  # its process starts
    assert stage.report(1, 0.0) == "PAUSE"
    stage.trials[1].status = Trial.PAUSED
    assert stage.choose() is None  # nobody is promoted before the other is there
    stage.state.begin("0002")
    stage.trials[2].status = Trial.RUNNING
    assert stage.report(2, 1.0) == "PAUSE"
    assert stage.choose() is None  # 2 goes on, but it is still writing
    stage.trials[2].status = Trial.PAUSED
    stage.start(2)
    stage.end(2, "diverged")
    stage.start(1)  # the next best


def test_a_sweep_with_nothing_to_close_stops_what_pauses(tmp_path):
    stage = Stage(opened(tmp_path, spec_of(LOW, trials=2, scheduler=ASHA | {"reduction_factor": 3})), slots=1)
    for number, value in ((1, 0.0), (2, 1.0)):
        stage.start(number)
        assert stage.report(number, value) == "PAUSE"
        stage.trials[number].status = Trial.PAUSED
    stage.start(2)
    for epoch in range(2, EPOCHS):
        answer = stage.report(2, 1.0, epoch)
        if answer == "PAUSE":
            stage.trials[2].status = Trial.PAUSED
            stage.start(2)
    stage.state.report("0002", EPOCHS, {"val/elbo": 1.0})
    stage.end(2, "completed")
    assert stage.choose() is None and stage.trials[1].status == Trial.TERMINATED


@pytest.mark.parametrize("lacking", ["pictures", "metrics", "line", None])
def test_a_paused_trial_whose_last_epoch_is_not_all_here_after_a_kill_is_taken_up_first(tmp_path, lacking):
    """Its node may have sent the pictures, which it draws itself here, and not yet the rest."""
    spec = spec_of(LOW, trials=2, scheduler=ASHA | {"reduction_factor": 3}, pictures=None)
    stage = Stage(opened(tmp_path, spec), slots=1)
    stage.start(1)
    assert stage.report(1, 0.0) == "PAUSE"
    home = tmp_path / "trials" / "0001"
    home.mkdir(parents=True)
    if lacking != "pictures":
        (home / "pictures" / "0001").mkdir(parents=True)
    if lacking != "metrics":
        (home / "metrics.jsonl").write_text("" if lacking == "line" else '{"epoch": 1}\n')
    assert Stage(opened(tmp_path, spec), slots=1).choose() == (1 if lacking else 2)


def test_no_more_trials_run_than_there_are_slots_however_late_tune_starts_the_chosen_ones(stage):
    assert stage.choose() == 1  # Tune waits for its actor
    stage.start(2)
    stage.trials[1].status = Trial.RUNNING
    assert stage.choose() is None
    stage.trials[2].status = Trial.PAUSED
    stage.start(3)
    assert stage.choose() is None
    stage.trials[1].status = Trial.ERROR
    stage.start(4)
    stage.trials[3].status = Trial.PAUSED
    stage.trials[1].status = Trial.PENDING  # it is tried again
    stage.scheduler.on_trial_add(stage, stage.trials[1])
    assert stage.choose() is None
