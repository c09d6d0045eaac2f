"""Starts and ends a private Ray on this machine. `private_ray` is the entry point."""

import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.clusters.resources import cpus, gpus
from orchestrator.clusters.scratch import scratch_folder
from orchestrator.errors import UserError
from orchestrator.signals import Deferred

START_S = 180  # for Ray to start, on a slow machine
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's old output, which can be silenced
    "RAY_worker_niceness": "0",  # trials keep the sweep's priority; Ray's 15 starves beside other work
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a slot
    "RAY_timeout_ms_task_wait_for_death_info": "60000",  # to learn that a slot's node is lost, not just out of reach
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a slot that asked for no GPU sees none
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # seconds between Tune's own snapshots of the sweep, which are never read
}
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"  # the network interface
ON_LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the address of this machine is 127.0.0.1, whatever the system
    "GLOO_SOCKET_IFNAME": LOOPBACK,
    "NCCL_SOCKET_IFNAME": LOOPBACK,
}
ENDING_S = 3  # for Ray's processes to end by themselves after its shutdown
HOST, API_SERVER = "127.0.0.1", "RAY_API_SERVER_ADDRESS"
NAMESPACE = "vaeorch"  # of actors that have a name
VITAL = ("gcs_server", "raylet")  # Ray's processes without which it does nothing
NO_GCS = "Failed to start GCS"  # how Ray tells that its gcs_server has ended, or does not answer
OBJECT_STORE_BYTES = 100 * 2**20  # results are small; the default takes a third of the memory


@contextmanager
def private_ray(gpus_used: bool, dashboard: bool, cure: str = "Try again.") -> Iterator[Path]:
    """A quiet Ray that only this process uses. Yields its scratch folder, which is removed at the end.

    A Ray that this process is connected to already is used as it is. With `dashboard` Ray answers queries about its
    actors: so Ray Train finds out that a slot is dead, and frees the resources of its workers.

    Raises UserError, with `cure`, when Ray does not start or dies, and when no temporary folder can be written.
    """
    os.environ.update(ENVIRONMENT)
    os.environ["RAY_AUTH_MODE"] = "token"  # nobody else on this machine may use it
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or Ray writes a token into the home folder
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    import ray

    ray._private.worker._worker_logs_enabled = False  # or Ray prints to our standard output which workers died
    with scratch_folder() as scratch:
        if ray.is_initialized():
            yield scratch
            return
        started = start_or_raise(scratch, gpus() if gpus_used else 0, free_port() if dashboard else None, cure)
        try:
            yield scratch
        except RayLost as lost:
            reason = f"Ray's process {lost} has died; so has Ray. Perhaps memory ran out, or somebody killed it."
            raise UserError(f"{reason} {cure}") from None
        finally:
            family = started.union(*map(descendants, started))
            ray.shutdown()
            end(family)


class RayLost(BaseException):
    """A process has died that the private Ray cannot do without. No trial is to blame, and none can continue."""


def check_ray() -> None:
    """Raises RayLost if a VITAL process has died. A Ray that this process did not start is not checked."""
    from ray._private import worker

    started = worker._global_node.all_processes if worker._global_node else {}
    for name in VITAL:
        if any(known.process.poll() is not None for known in started.get(name, ())):
            raise RayLost(name)


def start_or_raise(scratch: Path, gpus: int, dashboard_port: int | None, cure: str) -> set:
    """Start Ray, and return the processes that this started. If it fails, or Ctrl-C comes meanwhile, they are ended.

    On a busy machine a raylet ends by itself, if its helpers need more than 15 s to start, and a gcs_server may not
    answer in time: then Ray is started again, for `START_S` altogether. A gcs_server that ends after it has answered
    is another matter: Ray's client looks for it for a minute, and then ends this process.

    Raises UserError, with `cure`.
    """
    import psutil  # a dependency of Ray
    import ray

    deadline = time.monotonic() + START_S
    others = descendants(psutil.Process())
    while True:
        try:
            start(scratch, gpus, dashboard_port)
            return descendants(psutil.Process()) - others
        except BaseException as error:
            lost = isinstance(error, RayLost) or str(error).startswith(NO_GCS) or has_ended(*VITAL)
            ray.shutdown()
            end(descendants(psutil.Process()) - others)
            if lost and time.monotonic() < deadline:
                continue
            if not isinstance(error, Exception | RayLost):  # Ctrl-C
                raise
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"Ray did not start: {reason} Where this machine is overloaded, wait. {cure}") from None


def start(scratch: Path, gpus: int, dashboard_port: int | None) -> None:
    import ray
    from ray._private import services
    from ray._raylet import AuthenticationTokenLoader, Config

    # Ray has read the environment once in this process. If that said otherwise, our own gcs_server would turn us away.
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()

    known = {"TMPDIR": str(scratch)}  # or the dashboard leaves files elsewhere
    if dashboard_port:
        known[API_SERVER] = f"http://{HOST}:{dashboard_port}"  # or with two Rays here the wrong one may be queried
    answers = dashboard_port is not None
    with (
        inherited(known),
        one_machine(),
        only_what_is_needed(answers),
        signals_deferred() as stop,
        replaced(services, "get_node", patient(services.get_node, stop.check)),
    ):
        ray.init(
            address="local",
            num_cpus=cpus(),
            num_gpus=gpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=answers,
            dashboard_host=HOST,
            dashboard_port=dashboard_port,
            log_to_driver=False,
            logging_level="CRITICAL",
            namespace=NAMESPACE,
            _temp_dir=str(scratch),
        )


@contextmanager
def only_what_is_needed(api_server: bool) -> Iterator[None]:
    """A Ray that is started inside this context has no process that does nothing here: each takes 80 MB.

    Nobody reads what the log monitor forwards, nor what the autoscaler's monitor notes.
    """
    from ray._private.node import Node

    unused = ["start_log_monitor", "start_monitor"] + ["start_api_server"] * (not api_server)
    with ExitStack() as replacements:
        for name in unused:
            replacements.enter_context(replaced(Node, name, lambda node, **_: None))
        yield


@contextmanager
def signals_deferred() -> Iterator[Deferred]:
    """While a Ray starts inside this context signals are ours, and wait: a Ray that is half started cannot be ended.

    Ray has handlers of its own for SIGTERM: Python's ends this process at once, and that of its C++ aborts it. A signal
    that has come is raised at the end.
    """
    from ray import _raylet
    from ray._private import utils

    def core_worker(*args, **options):
        try:
            return start_worker(*args, **options)
        finally:
            stop.install()

    start_worker = _raylet.CoreWorker
    with (
        Deferred() as stop,
        replaced(utils, "set_sigterm_handler", lambda _: None),
        replaced(_raylet, "CoreWorker", core_worker),
    ):
        yield stop
    stop.check()


def patient(find: Callable, check: Callable[[], None]) -> Callable:
    """Wraps Ray's search for its node to last START_S. Ray gives up after 30 s, too soon on a busy machine.

    The function raises RayLost when the raylet has ended, and what `check` raises.
    """

    def found(*values):
        deadline = time.monotonic() + START_S
        while True:
            try:
                return find(*values)
            except RuntimeError:
                check()
                if has_ended("raylet"):
                    raise RayLost("its raylet ended by itself.") from None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    return found


def has_ended(*names: str) -> bool:
    """Whether a process that this one started has ended, and nothing has read its exit code yet (a zombie)."""
    import psutil

    children = psutil.Process().children()
    return any(child.name() in names and child.status() == psutil.STATUS_ZOMBIE for child in children)


def descendants(process) -> set:
    """All processes that a process has started, directly or through others, as psutil.Process objects."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        return set(process.children(recursive=True))
    return set()


def end(processes: set) -> None:
    """Wait ENDING_S for processes to end, and kill those that do not.

    The agents of a raylet look for a lost gcs_server for a while before they end.
    """
    import psutil

    _, left = psutil.wait_procs(processes, timeout=ENDING_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=ENDING_S)


@contextmanager
def one_machine() -> Iterator[None]:
    """Inside this context a Ray that is started, or connected to, listens on loopback only, as it does on a Mac."""
    from ray._private import ray_constants

    with inherited(ON_LOOPBACK), replaced(ray_constants, "ENABLE_RAY_CLUSTER", False):
        yield


@contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute inside this context, where Ray has no setting."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def inherited(known: dict[str, str]) -> Iterator[None]:
    """Sets environment variables inside this context, for the processes that are started there."""
    before = {name: os.environ.get(name) for name in known}
    os.environ.update(known)
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for name in (name for name, value in before.items() if value is None):
            os.environ.pop(name, None)


def free_port() -> int:
    """A free TCP port on loopback."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
