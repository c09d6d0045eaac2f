"""Rungs: what the page says of them is what the scheduler knows, replayed from the same journal."""

import math

import pytest

from orchestrator.errors import UserError
from orchestrator.reporting.html.content import read_sweep
from orchestrator.reporting.html.rungs import rungs_of, section
from orchestrator.space.plan import Plan
from orchestrator.space.trials import list_trials
from orchestrator.sweep.extension import Wanted
from tests.support.one_slot import ASHA, LOW, drive, extended, opened, spec_of
from tests.support.sweep_folders import swept

SWEEPS = {
    "asha": {"trials": 11, "search": LOW},
    "closing": {"trials": 3, "search": LOW, "scheduler": ASHA | {"reduction_factor": 4}},
    "hyperband": {"trials": 13, "search": LOW, "scheduler": ASHA | {"name": "hyperband"}},
    "confirm": {"trials": 5, "search": LOW, "confirm": {"top": 2, "seeds": 2}},
    "diverging": {"trials": 11},
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_rungs_hold_what_the_scheduler_knows(sweep, tmp_path):
    folder = swept(tmp_path / "sweep", **SWEEPS[sweep])
    found = {(rung.bracket[0], rung.epoch): rung for rung in rungs_of(read_sweep(folder))}
    state = opened(folder, spec_of(**SWEEPS[sweep])).state  # replays the journal
    known = 0
    for core in getattr(state.core, "brackets", [state.core]):
        for rung in core.rungs:
            alive = {f"{trial:04d}" for trial, score in rung.scores.items() if score > -math.inf}
            if not alive:
                continue
            known += 1
            told = found.pop((core.rungs[0].epoch, rung.epoch))
            assert set(told.values) == alive
            passed = {f"{trial:04d}" for trial in rung.scores if rung.let_pass(trial)}
            assert set(told.went_on) == passed
            closed = {f"{trial:04d}" for trial in rung.closed}
            assert {trial for trial, how in told.went_on.items() if how == "closing"} <= closed
    assert known and not found


def test_rungs_of_an_extended_sweep_hold_what_the_scheduler_knows(tmp_path):
    """Further seeds of a trial that is trained for longer are at no rung."""
    spec = spec_of(LOW, trials=5)
    folder = swept(tmp_path / "sweep", search=LOW, trials=5)
    plan = extended(folder, Plan(spec, list_trials(spec)), Wanted(trials=3, seeds=1, epochs=2))
    queue = drive(opened(folder, plan.spec, plan=plan))
    queue.state.results_file.write()
    rungs = queue.state.core.rungs
    for rung, told in zip(rungs, rungs_of(read_sweep(folder)), strict=True):
        assert set(told.values) == {f"{trial:04d}" for trial in rung.scores}
        assert set(told.went_on) == {f"{trial:04d}" for trial in rung.scores if rung.let_pass(trial)}


def test_a_scheduler_that_stops_no_trial_is_said_to(tmp_path):
    folder = swept(tmp_path / "sweep", trials=3, search=LOW, scheduler={"name": "none"})
    assert "No trial was compared with others at a rung (scheduler: none)." in section(read_sweep(folder)).body


def test_promotions_by_closing_are_counted_apart(tmp_path):
    folder = swept(tmp_path / "sweep", **SWEEPS["closing"])
    [rung] = rungs_of(read_sweep(folder))
    assert list(rung.went_on.values()) == ["closing"]


def test_a_spec_whose_scheduler_is_damaged_is_named_in_one_line(tmp_path):
    folder = swept(tmp_path / "sweep", trials=3, search=LOW)
    spec = (folder / "spec.yaml").read_text()
    (folder / "spec.yaml").write_text(spec.replace("name: asha", "name: asah"))
    with pytest.raises(UserError, match="spec.yaml: scheduler: is damaged") as error:
        section(read_sweep(folder))
    assert len(error.value.lines) == 1
