"""Trains one trial after another with a group of workers: what each worker runs, and the slot's side of it.

The only file that uses Ray Train, which places the workers, makes their process group and restarts them when one is
lost. Checkpoints, results and trials are not Ray Train's. A group lives as long as its slot: starting one costs 50
CPU-seconds. `Group` is the slot's side, `serve` is what a worker runs; orders and answers pass through `mailbox.py`.
"""

import importlib
import json
import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import psutil
import ray
import torch
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.clusters.lease import answer, fetch, store_of
from orchestrator.clusters.local import HOST
from orchestrator.clusters.scratch import scratch_folder
from orchestrator.execution.mailbox import DRAW, SETTLE, STEP, Mailbox
from orchestrator.execution.node_folder import NodeFolder
from orchestrator.storage import layout, locks
from orchestrator.storage.json_files import append_whole
from orchestrator.storage.trial_folder import TrialFolder, results
from trainables.common.errors import Diverged
from trainables.common.roots import root_of
from trainables.run import Run
from trainables.sums import from_all, rank_and_world
from trainables.train import Report, train

ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # between checks of the workers: how soon an end or a loss is noticed
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # it would warn before a node ends; any loss is handled anyway
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker
}
RESTARTS = 3  # of a group in a row, with no new epoch in between
STARTS = 10  # attempts to find room for a group, a minute each: a lost node may come back
LOOK_SECONDS = 1.0  # between checks that the group is alive
CLOSE_SECONDS = 60.0  # for the workers to carry out their last order


class WorkerError(Exception):
    """What a worker raised, its traceback as text. `trial_fault`: the trial raised it, not the loss of a worker."""

    def __init__(self, traceback: str, trial_fault: bool):
        super().__init__(traceback, trial_fault)
        self.traceback, self.trial_fault = traceback, trial_fault


class GroupError(Exception):
    """A worker group that cannot train its trial."""


class Group:
    """A slot's workers. `results` trains a trial with them, from wherever its folder left off."""

    def __init__(self, config: dict, scratch: Path):
        os.environ.update(ENVIRONMENT)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.error, self.trial, self.begun = "", config, False
        self.life = threading.Thread(target=self._live, args=(trainer(config, self.mailbox, scratch),), daemon=True)
        self.life.start()

    def results(self, config: dict) -> Iterator[dict]:
        """Train a trial. Yields what `trial_folder.results` yields, each epoch once. Raises GroupError."""
        slot = {"slot": ray.get_runtime_context().current_actor} if "store" in config else {}
        ray.get(self.mailbox.begin.remote(config | slot))
        self.trial, heard, self.failures = config, 0, []
        self.begun = True
        while True:
            result = self._ask(STEP)
            if result["diverged"] is None and result["epoch"] <= heard:
                continue  # a restarted group repeats the epoch of its checkpoint
            notice = {"notice": f"{self.failures[-1]} Started anew."} if self.failures else {}
            heard, self.failures = result["epoch"], []
            yield result | notice

    def draw(self, config: dict) -> None:
        """Draw the pictures of the epoch just finished, unless they are there. Raises GroupError."""
        self._ask(DRAW)

    def settle(self) -> None:
        """Send what the trial has so far to the driver's disk. Raises GroupError."""
        if self.begun and "store" in self.trial:
            self._ask(SETTLE)

    def close(self) -> None:
        """End the workers in order, so that Ray Train itself frees their resources."""
        ray.get(self.mailbox.close.remote())
        self.life.join(CLOSE_SECONDS)

    def _ask(self, order: str) -> dict:
        ray.get(self.mailbox.ask.remote(order))
        while True:
            event = ray.get(self.mailbox.next.remote(LOOK_SECONDS))
            if event and "answer" in event:
                return event["answer"]
            if event:
                self._failed(event["reason"], event["trial_fault"])
            elif not self.life.is_alive():
                self.begun = False
                raise GroupError(f"The worker group came to an end. {self.error}")

    def _failed(self, reason: str, trial_fault: bool) -> None:
        if trial_fault or len(self.failures) == RESTARTS:
            self.begun = False  # the workers are gone, with what they had not sent
            raise GroupError(reason)
        self.failures.append(reason.strip().splitlines()[-1 if reason.startswith("Traceback") else 0])
        note_restart(self.trial, self.failures[-1])

    def _live(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except (TrainingFailedError, RayError) as error:
            self.error = str(error)


def note_restart(trial: dict, line: str) -> None:
    """Note in a trial's folder that its group is started anew: the driver counts these notes."""
    if "store" in trial:
        answer(store_of(trial["store"]).append.remote(trial["id"], layout.RESTARTS, line))
        return
    folder = Path(trial["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    append_whole(layout.restarts_file(folder), line)


def trainer(config: dict, mailbox, scratch: Path) -> TorchTrainer:
    """The TorchTrainer for the `resources` of a slot's config. `scratch` is a folder for what Ray Train writes."""
    of = config["resources"]
    whole_gpus = of["gpus_per_worker"] >= 1
    return Trainer(
        serve,
        train_loop_config={"mailbox": mailbox},
        torch_config=GroupConfig(backend="nccl" if whole_gpus else "gloo"),  # nccl takes no two workers on one GPU
        scaling_config=ScalingConfig(
            num_workers=of["workers"],
            use_gpu=of["gpus_per_worker"] > 0,
            resources_per_worker={"CPU": of["cpus_per_worker"], "GPU": of["gpus_per_worker"]},
            placement_strategy=of["placement"],
        ),
        run_config=RunConfig(
            name="group",
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=-1, controller_failure_limit=STARTS),  # `Group` limits restarts
            callbacks=[Failures(mailbox)],
        ),
    )


class Trainer(TorchTrainer):
    """A TorchTrainer without Ray Data, whose process takes 7 CPU-seconds at each start of a group."""

    def _create_default_callbacks(self) -> list:
        return [one for one in super()._create_default_callbacks() if not isinstance(one, DatasetsCallback)]


class GroupConfig(TorchConfig):
    """Makes torch's store, by which the workers find each other, private: its port asks for no token."""

    @property
    def backend_cls(self):
        return Backend


class Backend(_TorchBackend):
    def on_start(self, worker_group, backend_config) -> None:
        worker_group.execute(keep_store_private)
        worker_group.execute(use_own_interface)
        super().on_start(worker_group, backend_config)


def keep_store_private() -> None:
    """In a worker: from here on torch's store listens on loopback only, if the whole group is on this machine."""
    rendezvous = importlib.import_module("torch.distributed.rendezvous")  # the package has a function of that name
    rendezvous.TCPStore = store


def use_own_interface() -> None:
    """In a worker: gloo and NCCL use the interface of the address by which Ray knows this node.

    Left alone, gloo takes that of the host's name, which on many systems is on loopback.
    """
    address = ray.util.get_node_ip_address()
    addresses = psutil.net_if_addrs().items()
    name = next((name for name, known in addresses if any(one.address == address for one in known)), None)
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if name else ():
        os.environ.setdefault(variable, name)


def store(*, host_name: str, port: int, is_master: bool, **more) -> torch.distributed.TCPStore:
    """A TCPStore that listens on loopback only if that is its host. Torch's own always listens on all interfaces."""
    if is_master and host_name == HOST:
        more["master_listen_fd"] = socket.create_server((HOST, port)).detach()
    return torch.distributed.TCPStore(host_name=host_name, port=port, is_master=is_master, **more)


class Failures(UserCallback):
    """Reports to the mailbox why workers failed. Ray Train's controller calls it before it restarts the group."""

    def __init__(self, mailbox):
        self.mailbox = mailbox

    def after_exception(self, run_context, worker_exceptions: dict[int, Exception]) -> None:
        raised = {rank: error for rank, error in worker_exceptions.items() if isinstance(error, WorkerError)}
        lost = {rank: error for rank, error in worker_exceptions.items() if rank not in raised}
        faults = [error.traceback for error in raised.values() if error.trial_fault]
        others = [error.traceback for error in raised.values() if not error.trial_fault]
        gone = [f"Worker {rank} is lost. {getattr(e, 'health_check_failure', e)}" for rank, e in lost.items()]
        ray.get(self.mailbox.fail.remote([*gone, *faults, *others][0], trial_fault=bool(faults and not lost)))


def serve(config: dict) -> None:
    """What every worker runs. Raises WorkerError."""
    try:
        with scratch_folder() as scratch:
            obey(config["mailbox"], scratch)
    except Exception as error:  # any kind: Ray Train passes exceptions on without their tracebacks
        lonely = type(error) is RuntimeError or isinstance(error, torch.distributed.DistError)  # as gloo and nccl raise
        raise WorkerError(traceback.format_exc(), trial_fault=not lonely) from None


def obey(mailbox, scratch: Path) -> None:
    """Carry out the mailbox's orders until it says: end. `scratch` is a folder for copies of trials' files."""
    leads = rank_and_world()[0] == 0
    incarnation = from_all(leads and ray.get(mailbox.register.remote()))[0]
    node = ray.get_runtime_context().get_node_id()
    workers = from_all({"host": ray.util.get_node_ip_address(), "node": node, "pid": os.getpid()})
    for number in count():
        order = ray.get(mailbox.order.remote(incarnation, number))
        if order is None:
            return
        if isinstance(order, dict):
            torch.set_num_threads(order["threads"])
            may_write = partial(current, mailbox, incarnation)
            part = (
                Leader(order, shared_folder(order, scratch, workers, may_write), workers)
                if leads
                else Follower(order, scratch)
            )
            continue
        done = {STEP: part.step, DRAW: part.draw, SETTLE: part.settle}[order]()
        if leads:
            ray.get(mailbox.answer.remote(incarnation, done))


def current(mailbox, incarnation: int) -> bool:
    return ray.get(mailbox.current.remote(incarnation))


class Leader:
    """Worker 0 of a trial: trains, and writes into the trial's folder."""

    def __init__(self, trial: dict, folder: TrialFolder, workers: list[dict]):
        if "store" not in trial:
            locks.slot(Path(trial["folder"]).parents[1])
        self.folder = folder
        self.nodes = sorted({worker["host"] for worker in workers})
        self.results = results(trial, folder)

    def step(self) -> dict:
        return next(self.results) | {"nodes": self.nodes}

    def draw(self) -> dict:
        if not self.folder.lines:  # the group was restarted after the epoch: `step` resumes from its checkpoint
            self.step()
        self.folder.draw()
        return {}

    def settle(self) -> dict:
        self.folder.settle()
        return {}


class Follower:
    """Any other worker of a trial: trains."""

    def __init__(self, trial: dict, scratch: Path):
        self.epochs, self.begun = follow(trial, scratch), False

    def step(self) -> None:
        self.begun = True
        next(self.epochs)

    def draw(self) -> None:
        if not self.begun:  # as worker 0 does
            self.step()

    def settle(self) -> None:
        pass


def follow(trial: dict, scratch: Path) -> Iterator[None]:
    """Train in step with worker 0, which runs `trial_folder.results`."""
    resume = from_all(None)[0]
    if resume and "store" in trial:
        resume = fetched(trial, resume.name, scratch)
    if resume:
        yield
    try:
        for _ in train(Run.model_validate(trial["run"]), root_of(trial["data_root"]), resume):
            yield
    except Diverged:
        yield


def fetched(trial: dict, checkpoint: str, scratch: Path) -> Path:
    """A copy, in `scratch`, of a trial's checkpoint."""
    path = layout.trial_folder(Path(), trial["id"]) / checkpoint
    fetch(store_of(trial["store"]), str(path), scratch / "resume.pt")
    return scratch / "resume.pt"


def shared_folder(trial: dict, scratch: Path, workers: list[dict], may_write: Callable[[], bool]) -> TrialFolder:
    """The folder of a trial that a group trains, as worker 0 sees it."""
    if "store" in trial:
        folder = SharedNodeFolder(trial, scratch, trial["slot"])
    else:
        folder = SharedTrialFolder(Path(trial["folder"]), **trial["objective"])
    folder.workers, folder.may_write = workers, may_write
    return folder


class Shared:
    """What a folder does besides, if a group of `workers` trains its trial as long as it `may_write`."""

    workers: list[dict]
    may_write: Callable[[], bool]

    def open(self) -> Path | None:
        """The checkpoint to resume from, for all workers. Notes in the folder which workers train from here on."""
        checkpoint = super().open()
        taken_up = {"after_epoch": len(self.lines), "workers": self.workers}
        self.append(layout.WORKERS, json.dumps(taken_up))
        return from_all(checkpoint)[0]

    def keep(self, report: Report, draw: bool) -> None:
        """Keep the epoch. Raises GroupError if another group has taken over the trial."""
        if not self.may_write():
            raise GroupError("This group of workers has been replaced.")
        super().keep(report, draw)


class SharedTrialFolder(Shared, TrialFolder):
    """On the driver's disk."""


class SharedNodeFolder(Shared, NodeFolder):
    """On a node that does not share that disk."""
