"""Faults while a sweep runs, on real Ray: a slot's process is killed, a disk is full, memory runs out."""

import errno
import json
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from orchestrator.clusters.connection import THIS_MACHINE
from orchestrator.clusters.resources import cpus
from orchestrator.errors import UserError
from orchestrator.execution import oom as memory
from orchestrator.execution import slot, tune
from orchestrator.execution.run import run_sweep
from orchestrator.execution.tune import MEMORY_NOTICE, OOM_REASON, Listener, reason_of
from orchestrator.schedulers.run_all import RunAll
from orchestrator.signals import Deferred
from orchestrator.space.plan import Plan
from orchestrator.storage import layout
from orchestrator.storage.disk import disk_errors_reported, fault_in, faults_raised
from orchestrator.storage.journal import Journal
from orchestrator.sweep.folder import claim
from orchestrator.sweep.state import SweepState
from tests.support.full_disk import small_disk
from tests.support.results_files import results_file_in
from tests.support.small_runs import a_run
from tests.support.sweeps import Recorder, spec_of, trials_of
from tests.support.trial_folders import lines_in, numbers
from trainables import checkpoint
from trainables.train import train

EPOCHS = 3
ROOM = "Free room or choose another --out."
KILLED, FULL, OUT_OF_MEMORY, SOUND = 1, 2, 3, 4  # the trials, by what befalls them


class FaultySlot(slot.Slot):
    """What befalls a trial befalls it in its second epoch; once, but memory is short each time."""

    def step(self) -> dict:
        number, folder = self.config["number"], Path(self.config["folder"])
        second = len(self.trainer.folder.lines) == 1
        known = (folder / "befallen").exists()
        if second and number == KILLED and not known:
            (folder / "befallen").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if second and number == OUT_OF_MEMORY:
            counter = folder.parents[1] / "oom"
            counter.write_text(f"oom_kill {memory_kills(counter) + 1}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if second and number == FULL and not known:
            (folder / "befallen").touch()
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with mock.patch.object(checkpoint, "save", side_effect=full):
                return super().step()
        return super().step()


def memory_kills(counter: Path) -> int:
    return int(counter.read_text().split()[1]) if counter.exists() else 0


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Four trials on one slot, until its disk is full, and then to the end: the outcome, what the tracker was told.

    A shortage of memory is excused once, not MEMORY_RETRIES times, as each try imports torch.
    """
    spec = spec_of("faulty", EPOCHS, scheduler={"name": "none"}, resources={"cpus_per_worker": cpus()})
    folder, tracker = claim(tmp_path_factory.mktemp("out"), spec), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slot, "Slot", FaultySlot)
        patch.setattr(memory, "COUNTERS", (folder / "oom",))
        patch.setattr(tune, "MEMORY_RETRIES", 1)
        trials = trials_of({}, {"seed": 1}, {"seed": 2}, {"seed": 3}, epochs=EPOCHS)
        with pytest.raises(UserError) as full:
            run_sweep(Plan(spec, trials), folder, Recorder(), Recorder())
        outcome = run_sweep(Plan(spec, trials), folder, tracker, Recorder())
        return SimpleNamespace(outcome=outcome, told=tracker.told, refused=full.value.lines)


def test_a_trial_whose_process_is_killed_or_whose_disk_is_full_goes_on_and_its_own_retries_are_counted(swept):
    found = [(trial["status"], trial["epochs"], trial["retries"]) for trial in swept.outcome.results["trials"]]
    assert found == [("completed", 3, 1), ("completed", 3, 0), ("failed", 1, 1), ("completed", 3, 0)]


def test_a_full_disk_ends_the_sweep_in_a_line_with_its_cure(swept):
    folder = swept.outcome.folder
    cure = f"Free room, then go on: vaeorch resume faulty --out {folder.parent}"
    assert swept.refused == (f"{folder}: cannot be written: No space left on device. {cure}",)
    assert not (folder / "trials" / f"{FULL:04d}" / "error.txt").exists()


def failure() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/elsewhere/error.txt")


def hidden(error: Exception, inside: Exception, cause: Exception | None = None) -> Exception:
    """An exception that was raised while another was handled."""
    try:
        try:
            raise inside
        except type(inside):
            if cause:
                raise error from cause
            raise error  # noqa: B904 (what is left is told from the context)
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (failure(), errno.ENOSPC),
        (hidden(RuntimeError("unexpected pos 64 vs 0"), failure()), errno.ENOSPC),  # as torch.save has it
        (hidden(ValueError("a mistake"), failure(), cause=KeyError("of ours")), None),
        (RuntimeError("ray::Slot.step()\nOSError: [Errno 28] No space left on device"), errno.ENOSPC),
        (RuntimeError("OSError: [Errno 30] Read-only file system: '/tmp/x/error.txt'"), errno.EROFS),
        (RuntimeError("OSError: [Errno 5] Input/output error\n\nRuntimeError: lost"), errno.EIO),
        (RuntimeError("FileNotFoundError: [Errno 2] No such file or directory: 'x'"), None),
        (RuntimeError("28"), None),
    ],
)
def test_a_fault_of_the_disk_is_found_in_what_came_of_it(tmp_path, error, found):
    fault = fault_in(error)
    assert (fault and fault.errno) == found
    if found:
        with pytest.raises(UserError, match=r"cannot be written: "), disk_errors_reported(tmp_path):
            raise error
        with pytest.raises(OSError), faults_raised():  # noqa: PT011 (that it is one is the fact)
            raise error


@pytest.mark.parametrize("call", ["on_trial_recover", "on_trial_error"])
@pytest.mark.parametrize(
    ("last", "ended"),
    [
        ("orchestrator.execution.workers.GroupError: Traceback\nOSError: [Errno 28] No space left on device", False),
        ("ray::Slot.save()\nOSError: [Errno 122] Disk quota exceeded: '/tmp/x/checkpoint'", False),
        ("ValueError: a mistake", True),
    ],
)
def test_a_trial_that_the_disk_refused_is_neither_tried_again_nor_failed(tmp_path, call, last, ended):
    text = tmp_path / "story.txt"
    text.write_text(f"Failure # 1 (occurred at x)\nOSError: [Errno 28] of another time\nFailure # 2 (x)\n{last}\n")
    trial = SimpleNamespace(config={"id": "0001", "folder": str(tmp_path / "0001")}, error_file=str(text))
    trial.memory_kills = trial.lost_nodes = 0
    results_file = results_file_in(tmp_path, trials=("0001",))
    results_file.trials["0001"] |= {"number": 1, "parameters": {}}
    state = SweepState(RunAll(), results_file, Journal(tmp_path))
    listener = Listener(state, SimpleNamespace(notify=list, look=lambda *values: None), Deferred(), THIS_MACHINE)
    state.begin("0001")
    before = (tmp_path / "journal.jsonl").read_bytes()
    getattr(listener, call)(1, [], trial)
    assert ((tmp_path / "journal.jsonl").read_bytes() != before) == ended
    if ended:
        listener.on_step_end(1, [])
    else:
        with pytest.raises(OSError, match="No space|quota"):
            listener.on_step_end(1, [])
        assert state.standing == {"0001": False} and not (tmp_path / "0001" / "error.txt").exists()


def test_a_file_elsewhere_is_named(tmp_path):
    with (
        pytest.raises(UserError, match=r"^/tmp/elsewhere/error.txt: cannot be written"),
        disk_errors_reported(tmp_path),
    ):
        raise failure()


def test_other_errors_are_raised_as_they_are(tmp_path):
    for error in (ValueError("x"), UserError("a line [Errno 28] x"), FileNotFoundError(errno.ENOENT, "no", "x")):
        with pytest.raises(type(error)) as caught, disk_errors_reported(tmp_path):
            raise error
        assert caught.value is error


def test_training_alone_on_a_full_disk_ends_in_a_line_and_goes_on_to_the_same_numbers(vaeorch, spec, tmp_path):
    words = "train", spec, "--set", "run.network.hidden=[64]"
    assert vaeorch(*words, "--out", tmp_path / "free")[0] == 0
    with small_disk(tmp_path / "small", 250) as disk:
        code, _, said = vaeorch(*words, "--out", disk)
        assert code == 2 and said == f"{disk / 'tiny'}: cannot be written: No space left on device. {ROOM}\n"
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert vaeorch(*words, "--out", disk)[0] == 0
        lines = [numbers(lines_in(out / "tiny")) for out in (disk, tmp_path / "free")]
    assert lines[0] == lines[1] and len(lines[0]) == 3


def test_a_trial_that_ran_out_of_memory_says_so(swept):
    assert swept.outcome.results["trials"][OUT_OF_MEMORY - 1]["reason"] == OOM_REASON


@pytest.mark.parametrize("trial", [KILLED, FULL, SOUND])
def test_the_numbers_are_those_of_a_run_without_faults_and_told_once(swept, trial):
    told = [(event[2], event[3]) for event in swept.told if event[:2] == ("epoch", f"{trial:04d}")]
    threads = torch.get_num_threads()
    torch.set_num_threads(cpus())  # as in the slot
    run = a_run(epochs=EPOCHS, seed=trial - 1) if trial > 1 else a_run(epochs=EPOCHS)
    expected = [(report.epoch, report.metrics) for report in train(run)]
    torch.set_num_threads(threads)
    assert told == expected


def test_the_journal_tells_of_the_retries(swept):
    events = [json.loads(line) for line in (swept.outcome.folder / "journal.jsonl").read_text().splitlines()]
    assert [event["trial"] for event in events if event["event"] == "retried"] == ["0001", "0003"]


def test_restarts_of_a_worker_group_are_counted_once_and_take_no_retry_from_the_slot(tmp_path):
    folder = tmp_path / "0001"
    trial = SimpleNamespace(config={"id": "0001", "folder": str(folder)})

    def counted() -> SweepState:
        """By a driver, or by the one after it: both see the same trial, paused, and its folder."""
        results_file = results_file_in(tmp_path, trials=("0001",))
        results_file.trials["0001"] |= {"number": 1, "parameters": {}}
        state = SweepState(RunAll(), results_file, Journal(tmp_path))
        listener = Listener(state, None, Deferred(), THIS_MACHINE)
        state.begin("0001")
        listener.on_trial_save(1, [], trial)
        return state

    folder.mkdir()
    layout.restarts_file(folder).write_text("Worker 1 is lost.\nWorker 0 is lost.\n")
    for state in (counted(), counted()):
        assert state.retries == {("0001", "group"): 2} and state.results_file.entries["0001"]["retries"] == 2


@pytest.mark.parametrize(
    ("text", "oom_killed", "found"),
    [
        ("The actor died unexpectedly before finishing this task.\n\tpid: 7\n", True, True),
        ("The actor died unexpectedly before finishing this task.\n\tpid: 7\n", False, False),
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n", False, True),
        ("1 worker(s) were killed due to the node running low on memory. Memory on the node (IP", False, True),
        ("Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: Task was killed.\n", False, True),
        ("torch.OutOfMemoryError: CUDA out of memory.\n", True, False),
    ],
)
def test_memory_is_the_reason_only_where_it_was(text, oom_killed, found):
    assert (reason_of(text, oom_killed) == OOM_REASON) == found


def test_kills_for_memory_are_counted_in_the_container_before_the_machine(tmp_path, monkeypatch):
    files = tmp_path / "memory.events", tmp_path / "vmstat"
    monkeypatch.setattr(memory, "COUNTERS", files)
    assert memory.oom_kills() == 0
    files[1].write_text("pgfault 12\noom_kill 5\nnuma_hit 3\n")
    assert memory.oom_kills() == 5
    files[0].write_text("low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n")
    assert memory.oom_kills() == 3


@pytest.fixture
def tried(tmp_path):
    """A trial as Tune has it, and what it and the journal make of failures, one after the other."""
    from ray.tune.experiment import Trial

    from orchestrator.execution.tune import PatientTrial

    results_file = results_file_in(tmp_path, trials=("0001",))
    results_file.trials["0001"] |= {"number": 1, "parameters": {}}
    state = SweepState(RunAll(), results_file, Journal(tmp_path))
    config = {"id": "0001", "folder": str(tmp_path / "0001")}
    trial = PatientTrial("Slot", config=config, trial_id="0001", max_failures=1, stub=True)
    trial.storage = SimpleNamespace(trial_driver_staging_path=str(tmp_path))
    trial.set_status(Trial.RUNNING)
    listener = Listener(state, None, Deferred(), THIS_MACHINE)

    def fail(error: Exception) -> bool:
        """Whether the trial is tried again."""
        trial.handle_error(error)
        if again := trial.should_recover():
            listener.on_trial_recover(1, [], trial)
        return again

    return fail, state


OOM = RuntimeError("1 worker(s) were killed due to the node running low on memory. Memory on the node was 9 of 9 GB")
CRASH = RuntimeError("The actor died unexpectedly before finishing this task.")


@pytest.mark.parametrize(
    "failures",
    [[OOM, OOM, OOM, CRASH, CRASH], [CRASH, OOM, OOM, OOM, CRASH], [OOM, OOM, OOM, OOM, OOM], [CRASH, CRASH]],
)
def test_a_shortage_of_memory_takes_no_try_from_other_failures_and_is_no_endless_excuse(tried, failures):
    fail, state = tried
    assert [fail(error) for error in failures] == [True] * (len(failures) - 1) + [False]
    counted = min(3, failures.count(OOM))
    assert state.retries["0001", "memory"] == counted and state.retries["0001", "slot"] == 1
    told = [news[2] for news in state.news if news[0] == "trial_noticed"]
    assert told == [MEMORY_NOTICE.format(number, 3) for number in range(1, counted + 1)]


GROUP_ERROR = "orchestrator.execution.workers.GroupError:"
FRAME = '  File "x.py", line 1, in step\n    y = model(x)\n'


@pytest.mark.parametrize(
    ("raised", "room"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity", False),
        ("RuntimeError: CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable assertions.", False),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you", False),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 TiB for an array", False),
        ("MemoryError", False),
        (f"{GROUP_ERROR} Traceback (x):\n{FRAME}torch.OutOfMemoryError: CUDA out of memory.", False),
        ("ValueError: no room for that", True),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied", True),
    ],
)
def test_a_trial_that_memory_has_no_room_for_has_our_line_as_its_reason(raised, room):
    text = f"Failure # 1 (x)\nray.exceptions.RayTaskError: y\nTraceback (x):\n{FRAME}{raised}\n"
    reason = reason_of(text)
    assert (
        reason != "The network or a batch has no room in memory. Make network.hidden, network.latent_dim or"
        " batch_size smaller."
    ) == room
    assert "\n" not in reason


def test_a_real_allocation_that_is_refused_is_told_as_one():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**50)
    assert "no room in memory" in reason_of(f"Failure # 1 (x)\nTraceback (x):\n{FRAME}RuntimeError: {error.value}\n")
