"""What is read of a sweep whose results.json is not written at each end: nothing is missing, whenever it is killed."""

import json
import random
from collections.abc import Callable

import pytest

from orchestrator.schedulers.base import CONTINUE
from orchestrator.storage import layout
from orchestrator.storage.evaluations_file import EvaluationsFile
from orchestrator.sweep import results_file as results_files
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.extension import Wanted
from orchestrator.sweep.results import read_results
from orchestrator.sweep.results_file import refresh, up_to_date
from orchestrator.sweep.state import SweepState
from orchestrator.sweep.trial_queue import TrialQueue
from tests.support.findings import finding
from tests.support.one_slot import LOW, drawn, drive, extended, occupy, opened, spec_of
from tests.support.sweep_folders import swept

SPECS = {
    "asha": lambda: spec_of(trials=9),
    "drawn with seeds and confirmed": lambda: drawn(trials=5, seeds=2, confirm={"top": 2, "seeds": 2}),
    "budget": lambda: spec_of(LOW, trials=9, budget={"epochs": 11}),
    "no scheduler": lambda: spec_of(trials=4, scheduler={"name": "none"}),
}


def written(folder) -> dict:
    return json.loads((folder / layout.RESULTS).read_text())


def plain(results: dict) -> dict:
    """Results as they are read from JSON, without what only the file has."""
    return {key: value for key, value in json.loads(json.dumps(results)).items() if key != results_files.EVENTS}


def watched(queue: TrialQueue, folder, seed: int) -> Callable[[SweepState, str], None]:
    """Has results.json written now and then; compares at each line of the journal what is read with the last end."""
    luck, file, append = random.Random(seed), queue.state.results_file, queue.state.journal.append
    known = {"expected": plain(up_to_date(folder, written(folder))) if (folder / layout.RESULTS).exists() else None}

    def checked(event):
        append(event)
        if event["event"] in results_files.ENDS:
            known["expected"] = plain(file.results())
        if (folder / layout.RESULTS).exists():
            assert plain(up_to_date(folder, written(folder))) == known["expected"]

    def occupied(state, trial):
        if luck.random() < 0.25:
            state.decide_stacking(f"kind {trial}", like=trial, stacked=False, why="sums are rounded otherwise")
        occupy(state, trial)
        if luck.random() < 0.25:
            file.write()
            known["expected"] = plain(file.results())

    queue.state.journal.append = checked
    return occupied


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("seed", range(3))
def test_at_each_line_of_the_journal_all_that_have_ended_are_read(tmp_path, fast_disk, spec, seed):
    queue = opened(tmp_path, spec())
    drive(queue, watched(queue, tmp_path, seed))
    if (tmp_path / layout.RESULTS).exists():
        assert plain(up_to_date(tmp_path, written(tmp_path))) == plain(queue.state.results_file.results())


EXTENSIONS = {
    "more trials": (spec_of(trials=5), Wanted(trials=4, epochs=2), {}),
    "more seeds, confirmed": (spec_of(trials=3, confirm={"top": 1, "seeds": 2}), Wanted(trials=3, seeds=1), {}),
    "a larger budget": (spec_of(trials=6, budget={"epochs": 9}), Wanted(), {"budget": {"epochs": 25}}),
    "the best": (spec_of(LOW, trials=3, scheduler={"name": "none"}), Wanted(epochs=3, top=2), {}),
}


@pytest.mark.parametrize(("spec", "wanted", "changes"), EXTENSIONS.values(), ids=EXTENSIONS)
def test_it_is_so_too_in_a_sweep_that_was_extended(tmp_path, fast_disk, spec, wanted, changes):
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        queue = opened(folder, spec)
        drive(queue).state.results_file.write()
        plan = extended(folder, queue.plan, wanted, **changes)
        queue = opened(folder, plan.spec, plan=plan)
        drive(queue, watched(queue, folder, seed))


def test_an_interrupted_trial_that_goes_on_is_not_read_as_stopped(tmp_path, fast_disk):
    queue = opened(tmp_path, spec_of(LOW, trials=3, scheduler={"name": "none"}), made_with={"code": "1"})
    queue.state.begin("0001")
    queue.state.report("0001", 1, {"val/elbo": 0.0})
    queue.state.results_file.interrupt()
    queue.state.results_file.write()
    queue = opened(tmp_path, queue.spec, made_with={"code": "2"})
    queue.state.begin("0002")
    queue.state.end("0002", "diverged", "why")
    found = plain(up_to_date(tmp_path, written(tmp_path)))
    assert [trial["id"] for trial in found["trials"]] == ["0002"] and found["made_with"] is None
    assert found == plain(queue.state.results_file.results())
    assert [trial["id"] for trial in read_results(tmp_path.parent, tmp_path.name)["trials"]] == ["0002"]


def test_results_json_is_written_at_the_first_end_and_then_a_number_of_times_that_grows_as_a_logarithm(
    tmp_path, fast_disk
):
    writes, ends = [], 600
    queue = opened(tmp_path, spec_of({"seed": {"grid": list(range(ends))}}, scheduler={"name": "none"}))
    state, results_file = queue.state, queue.state.results_file
    write = results_file.write
    results_file.write = lambda: (writes.append(len(results_file.results()["trials"])), write())
    listeners = Listeners(results_file, Deaf(), Deaf())
    for number in range(1, ends + 1):
        state.begin(f"{number:04d}")
        state.end(f"{number:04d}", "completed", None)
        listeners.notify(state.take_news())
        assert len(up_to_date(tmp_path, written(tmp_path))["trials"]) == number if number % 97 == 0 else True
    assert writes[:10] == list(range(1, 11)) and len(writes) < 100
    assert sum(writes) < 25 * ends


def test_what_is_measured_of_a_trial_that_ended_later_is_kept_with_it(tmp_path, fast_disk):
    queue = opened(tmp_path, spec_of(LOW, trials=2, scheduler={"name": "none"}))
    for trial in ("0001", "0002"):
        (tmp_path / layout.TRIALS / trial).mkdir(parents=True)
        (tmp_path / layout.TRIALS / trial / layout.BEST).touch()
        occupy(queue.state, trial)
        if trial == "0001":
            queue.state.results_file.write()
    assert str(tmp_path) not in queue.state.journal.path.read_text()
    EvaluationsFile(tmp_path / layout.TRIALS / "0002").keep("key", finding("mig", mig=1.0) | {"epoch": 4}, {})
    refresh(tmp_path)
    first, second = written(tmp_path)["trials"]
    assert "evaluations" not in first and [one["metric"] for one in second["evaluations"]] == ["mig"]
    assert plain(written(tmp_path)) == plain(queue.state.results_file.results())


def test_a_file_of_an_earlier_version_is_taken_as_it_is(tmp_path, fast_disk):
    queue = opened(tmp_path, spec_of(LOW, trials=2, scheduler={"name": "none"}))
    occupy(queue.state, "0001")
    queue.state.results_file.write()
    known = plain(written(tmp_path))
    (tmp_path / layout.RESULTS).write_text(json.dumps(known))
    occupy(queue.state, "0002")
    assert up_to_date(tmp_path, known) == known


@pytest.mark.parametrize(
    "asked", [{"trials": 9}, {"trials": 4, "budget": {"epochs": 7}}, {"seeds": 2, "scheduler": {"name": "none"}}]
)
def test_results_that_are_lost_are_read_from_the_journal(tmp_path, asked):
    folder = swept(tmp_path / "a", **asked)
    known = read_results(tmp_path, "a")
    (folder / layout.RESULTS).unlink()
    assert read_results(tmp_path, "a") == known and len(known["trials"]) > 1


def test_a_sweep_none_of_whose_trials_has_ended_has_no_result_yet(tmp_path, vaeorch):
    folder = swept(tmp_path / "a", lines=2)
    (folder / layout.RESULTS).unlink(missing_ok=True)
    assert read_results(tmp_path, "a")["trials"] == []
    code, out, told = vaeorch("results", "a", "--out", tmp_path)
    again = f"It is interrupted after 0 trials. Go on: vaeorch resume a --out {tmp_path}"
    assert (code, out, told) == (1, "", f"a: no trial has ended yet. {again}\n")
    code, out, told = vaeorch("export", "a", "--to", tmp_path / "model", "--out", tmp_path)
    assert code == 2 and told.count("\n") == 1 and "no trial has ended yet. Go on with it" in told


class Deaf:
    def __getattr__(self, name):
        return lambda *values: CONTINUE
