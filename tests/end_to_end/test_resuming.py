"""What `resume` refuses, who may work in a sweep's folder, and how signals wait for their turn. No Ray."""

import fcntl
import io
import json
import os
import signal
import threading
import time
from contextlib import suppress

import pytest
import torch
from rich.console import Console

from orchestrator import signals as stopping
from orchestrator.commands.resume import beginning, check_trials, read_recorded, resume
from orchestrator.commands.site import HERE
from orchestrator.errors import UserError
from orchestrator.reporting.console import Board, PlainLines
from orchestrator.signals import Deferred, Noted, Terminated
from orchestrator.space.plan import Plan
from orchestrator.storage import layout, locks
from orchestrator.storage.journal import Journal, JournalError
from orchestrator.storage.trial_folder import results
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.extension import Wanted
from orchestrator.sweep.folder import as_yaml, claim
from orchestrator.sweep.inventory import progress
from tests.support.one_slot import LOW, drawn, drive, extended, opened
from tests.support.one_slot import spec_of as searched
from tests.support.small_runs import a_run
from tests.support.sweep_folders import swept, write_epochs
from tests.support.sweeps import spec_of, trials_of
from tests.support.trial_folders import config_of, folder_in
from trainables.common.errors import CheckpointError


def refused(folder, name="held") -> str:
    with pytest.raises(UserError) as caught:
        resume(name, Workspace(folder, tracking_uri="sqlite:////nowhere/mlflow.db"), False)
    [line] = caught.value.lines
    return line


def test_a_sweep_that_is_running_is_refused_in_one_line(tmp_path):
    with locks.driver(claim(tmp_path, spec_of("held"))):
        assert "held: another process trains or evaluates here." in refused(tmp_path)


def test_a_sweep_that_never_was_is_refused_with_those_there_are(tmp_path):
    claim(tmp_path, spec_of("other"))
    assert refused(tmp_path).endswith(f"no sweep was started here. Sweeps in {tmp_path}: other.")


def test_an_occupied_folder_says_how_to_go_on(tmp_path):
    claim(tmp_path, spec_of("held"))
    with pytest.raises(UserError, match=f"holds another sweep. Go on with it: vaeorch resume held --out {tmp_path};"):
        claim(tmp_path, spec_of("held"))


def test_a_folder_in_which_a_sweep_runs_says_how_to_watch_it(tmp_path):
    told = f"held: another process trains or evaluates there. Watch it: vaeorch watch held --out {tmp_path};"
    with locks.driver(claim(tmp_path, spec_of("held"))), pytest.raises(UserError, match=told):
        claim(tmp_path, spec_of("held"))


def test_a_journal_of_another_version_is_refused(tmp_path):
    [trial] = trials_of({})
    event = {"event": "sweep", "format": 1, "source": "a.yaml", "data_root": None, "answer": None}
    Journal(tmp_path).append(event | {"trials": [vars(trial)]})
    assert beginning(Journal(tmp_path))["trials"] == [trial]
    (tmp_path / "journal.jsonl").write_text(json.dumps(event | {"trials": [vars(trial) | {"colour": 1}]}) + "\n")
    with pytest.raises(JournalError, match="journal.jsonl:1: was begun by another version"):
        beginning(Journal(tmp_path))


def test_a_sweep_killed_before_its_journal_begins_from_its_spec(tmp_path):
    assert beginning(Journal(tmp_path)) == {"source": None, "data_root": None, "reuse": False, "trials": []}


def test_a_spec_that_was_changed_is_refused_though_the_journal_is_lost(tmp_path):
    folder = swept(tmp_path / "held", trials=2)
    (folder / layout.JOURNAL).unlink()
    file = folder / layout.SPEC
    file.write_text(file.read_text().replace("batch_size: 32", "batch_size: 31"))
    told = refused(tmp_path)
    assert told.startswith(f"{folder}/trials/0001/config.json: its settings are not those that {file} says now.")


def whole(folder) -> dict:
    """The content of all files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def trained(folder, spec, wanted=None):
    """A sweep of `one_slot` that has finished and, if `wanted`, was extended; all that it leaves but weights."""
    folder.mkdir()
    queue, plan = drive(opened(folder, spec)), Plan.of(spec)
    if wanted:
        plan = extended(folder, plan, wanted)
        queue = drive(opened(folder, plan.spec, plan=plan))
    queue.state.results_file.write()
    (folder / layout.SPEC).write_text(as_yaml(plan.spec))
    for trial, config in queue.state.results_file.trials.items():
        epochs = queue.state.results_file.entries[trial]["epochs"]
        own = write_epochs(layout.trial_folder(folder, trial), "val/elbo", [0.0] * epochs)
        (own / layout.CONFIG).write_text(json.dumps({"run": config["run"]}))
    return folder


LOST = {
    "optuna": (drawn(trials=3), None, "which trials the searcher optuna drew"),
    "optuna, extended": (drawn(trials=3), Wanted(trials=1), "which trials the searcher optuna drew"),
    "extended by seeds": (searched(trials=3), Wanted(seeds=1), "if nothing was, the sweep was extended"),
    "extended by epochs": (searched(LOW, trials=3), Wanted(epochs=1), "if nothing was, the sweep was extended"),
    "confirmed": (searched(LOW, trials=3, confirm={"top": 1, "seeds": 2}), None, "what trial 0004 is"),
}


@pytest.mark.parametrize(("spec", "wanted", "why"), LOST.values(), ids=LOST)
def test_without_its_journal_a_sweep_whose_trials_the_spec_does_not_tell_is_left_as_it_is(tmp_path, spec, wanted, why):
    folder = trained(tmp_path / "held", spec, wanted)
    (folder / layout.JOURNAL).unlink()
    before = whole(folder)
    told = refused(tmp_path)
    assert why in told and f"Its results are there: vaeorch results held --out {tmp_path}; so for" in told
    assert before.items() <= whole(folder).items() and not (folder / layout.JOURNAL).exists()


def test_without_its_journal_a_sweep_whose_trials_the_spec_tells_goes_on(tmp_path):
    folder = trained(tmp_path / "held", searched(LOW, trials=2), Wanted(trials=1))
    (folder / layout.JOURNAL).unlink()
    plan = read_recorded(Journal(folder), Workspace(tmp_path), "held", HERE).plan
    check_trials(plan, folder)
    assert len(plan) == 3


def test_a_trial_is_not_trained_in_the_folder_of_another(tmp_path):
    mine, other = (config_of(a_run("beta_vae", method={"name": "beta_vae", "beta": beta})) for beta in (1.0, 2.0))
    assert [result["epoch"] for result in results(mine, folder_in(tmp_path))] == [1, 2]
    assert [result["epoch"] for result in results(mine, folder_in(tmp_path))] == [2]  # as it is finished
    with pytest.raises(CheckpointError, match="config.json: was trained with other settings"):
        next(results(other, folder_in(tmp_path)))


def test_a_driver_waits_for_the_slots_of_the_one_before(tmp_path):
    slot = (tmp_path / layout.SLOTS_LOCK).open("w")
    fcntl.flock(slot, fcntl.LOCK_SH)
    threading.Timer(0.5, slot.close).start()
    begun = time.monotonic()
    with locks.driver(tmp_path):
        assert time.monotonic() - begun > 0.4


def test_a_slot_that_does_not_end_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.2)
    with (tmp_path / layout.SLOTS_LOCK).open("w") as slot:
        fcntl.flock(slot, fcntl.LOCK_SH)
        with pytest.raises(UserError, match="still train here"), locks.driver(tmp_path):
            pass


def test_slots_may_share_the_folder_of_a_driver(tmp_path):
    with locks.driver(tmp_path):
        locks.slot(tmp_path)
        with (tmp_path / layout.SLOTS_LOCK).open("w") as other:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    locks.slot(tmp_path).close()


@pytest.mark.parametrize(
    ("number", "error", "code"), [(signal.SIGINT, KeyboardInterrupt, 130), (signal.SIGTERM, Terminated, 143)]
)
def test_a_signal_waits_for_its_turn_and_the_second_does_not(number, error, code):
    before = signal.getsignal(number)
    with Deferred() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        with pytest.raises(error) as caught:
            stop.check()
        assert type(caught.value) is error and stopping.exit_code(caught.value) == code
        with pytest.raises(error):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("kind", [Deferred, Noted])
def test_a_signal_that_is_ignored_stays_ignored_as_in_what_a_script_starts_in_the_background(kind):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with kind() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            stop.check()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # as Tune does
            stop.install()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_past_is_on_the_board_and_not_in_the_words():
    words = io.StringIO()
    board = Board("a", "m", "max", trials=3, expected_epochs=4)
    view = PlainLines(board, Console(file=words))
    news = [("trial_started", "1", {}, "1"), ("epoch", "1", 1, {"m": 2.0}), ("trial_started", "2", {}, "2")]
    view.recall([*news, ("trial_ended", "2", "failed", "why", {})], ["1"])
    assert words.getvalue() == "a: 3 trials\n"
    assert board.counts() == "1 paused, 1 waiting, 1 failed" and board.best == (2.0, "1", 1)
    view.trial_resumed("1")
    view.trial_noticed("1", "goes on from checkpoint.previous.pt")
    assert words.getvalue().splitlines()[1:] == ["1 resumed", "1 goes on from checkpoint.previous.pt"]
    assert "left" not in board.times()  # how fast it is now is not known


def test_a_signal_that_raised_where_it_was_lost_is_raised_again():
    with Noted() as stop:
        stop.check()
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        with pytest.raises(KeyboardInterrupt):
            stop.check()


class Interrupting(io.RawIOBase):
    """A file to whose writer SIGTERM comes, in the middle."""

    pieces = 0

    def write(self, piece) -> int:
        self.pieces += 1
        if self.pieces == 4:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return len(piece)


@pytest.fixture
def terminated_by_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    stopping.listen()
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_signal_that_breaks_off_torch_save_is_not_hidden_by_its_error(terminated_by_sigterm):
    with pytest.raises(RuntimeError) as hidden:
        torch.save({"weights": torch.zeros(4)}, Interrupting())
    assert isinstance(stopping.behind(hidden.value), Terminated)
    with pytest.raises(Terminated), Noted():
        torch.save({"weights": torch.zeros(4)}, Interrupting())
    assert stopping.behind(ValueError()) is None


def test_a_command_that_is_ended_in_torch_save_says_so_by_its_exit_code(terminated_by_sigterm, monkeypatch, vaeorch):
    monkeypatch.setattr(
        "orchestrator.commands.listing.print_list", lambda *_: torch.save(torch.zeros(4), Interrupting())
    )
    assert vaeorch("list") == (143, "", "")


def test_epochs_that_a_lost_journal_had_are_read_from_the_trials_folder(tmp_path):
    """A trial that goes on repeats its last epoch alone."""
    spec = searched(LOW, trials=2, scheduler={"name": "none"})
    write_epochs(tmp_path / "trials" / "0001", "val/elbo", [-5.0, -1.0, -3.0])

    def known() -> tuple:
        entry = opened(tmp_path, spec).state.results_file.entries["0001"]
        return entry["epochs"], entry["best"]["epoch"], entry["best"]["val/elbo"], entry["last"]["val/elbo"]

    state = opened(tmp_path, spec).state
    for trial in ("0001", "0002"):
        state.begin(trial)
        state.report(trial, 3, {"val/elbo": -3.0})
    assert [event[2] for event in state.take_news() if event[:2] == ("epoch", "0001")] == [1, 2, 3]
    assert state.results_file.entries["0002"]["best"]["epoch"] == 3  # nothing is known of those before
    assert known() == known() == (3, 2, -1.0, -3.0)
    assert progress(tmp_path, "val/elbo").values["0001"] == [-5.0, -1.0, -3.0]
