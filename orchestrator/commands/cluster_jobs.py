"""Runs a verb on a cluster: submits it as a job to the head, follows its log, and brings its results home.

`driver.py` is what the job does there, `home.py` this machine's side. `cluster.py` has the verbs of `vaeorch cluster`.
"""

import secrets
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from orchestrator.clusters.base import RemoteCluster
from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.job_system import State
from orchestrator.clusters.jobs import package
from orchestrator.clusters.openssh import NoSuchFolder
from orchestrator.clusters.options import ClusterOptions
from orchestrator.clusters.read import read_cluster
from orchestrator.clusters.state import note_file, state_folder
from orchestrator.commands.billing import agree
from orchestrator.commands.driver import Job
from orchestrator.commands.home import Home
from orchestrator.commands.sent import Sent
from orchestrator.errors import ClusterFailed, UserError
from orchestrator.reporting.console import watch
from orchestrator.reporting.event_log import replay
from orchestrator.signals import exit_code
from orchestrator.storage import layout
from orchestrator.terminal import say
from orchestrator.tracking.store_address import check_early, is_server, store_for_new

DRIVERS_OWN = (0, 1, 2, 130, 143)  # exit codes with which a driver ends in order
MISTAKE, CLUSTER_FAILED, INTERRUPTED = 2, 3, (130, 143)
OTHERS_MINUTES = 10  # without a job, after which a cluster ends on which other sweeps ran
SIGNALS = 128  # a driver that a signal has killed has its number more than this as exit code, as in shells


class OutOfSight(ClusterFailed):
    """A cluster does not answer. Its job may go on."""


class HeadLost(ClusterFailed):
    """The head of a cluster is gone for good, and with it the job."""


def run_on_cluster(job: Job, spec: str | None, record: RemoteCluster, options: ClusterOptions, home: Home) -> int:
    """Do a job on a cluster. `spec` is the text of the spec of a new sweep.

    Returns the exit code: the driver's own, 130 if Ctrl-C detached. Raises UserError, ClusterFailed and NoResult.
    """
    out, state = home.workspace.out, state_folder(options.name)
    if spec:
        home.refuse_another()
    agree(record, options.yes, lambda line: say(home.console, line))
    note_file(state, options.file)
    started, job_id = record.up(state, lambda line: say(home.console, line)), ""
    try:
        with record.opened(state, out) as head:
            home = home.at(head)
            if spec:
                home.refuse_another()
            job_id = submit(head, for_head(job, record, head, home), spec)
            Sent(str(options.file.resolve()), job_id, job.verb).write(out, home.name)
            say(home.console, f"job          {job_id}")
            if options.detach:
                started = False
                say(home.console, f"attach       {home.command('attach')}")
                return 0
            code = follow(head, job_id, job.verb, home)
            started = started and code != exit_code(KeyboardInterrupt())  # detached: the job goes on
            return code
    except OutOfSight:
        started = False  # the job may go on
        raise
    except HeadLost:
        started = False
        end(record, state, home.console)
        raise
    finally:
        if started:
            leave(record, state, options, home, job_id)


def leave(record: RemoteCluster, state: Path, options: ClusterOptions, home: Home, job_id: str) -> None:
    """End a cluster that this command has started; once it is idle, where that was asked, or other sweeps run there."""
    others = [] if options.keep_up else running(record, state, home.workspace.out, job_id)
    minutes = options.keep_up or (OTHERS_MINUTES if others else 0)
    if not minutes:
        end(record, state, home.console)
        return
    record.down_when_idle(state, minutes)
    why = f": {', '.join(others)} runs there, too;" if others else ","
    say(home.console, f"up           {options.name}{why} until it has been idle for {minutes:g} minutes")


def running(record: RemoteCluster, state: Path, out: Path, but: str) -> list[str]:
    """The jobs that run on a cluster, as of other sweeps; none where it cannot be asked."""
    with suppress(UserError), record.opened(state, out) as head:
        return [job.id for job in head.jobs.list() if not job.state.ended and job.id != but]
    return []


def for_head(job: Job, record: RemoteCluster, head: Head, home: Home) -> Job:
    """The job as that head is to do it. Raises UserError for a store that cannot be used."""
    uri = home.workspace.tracking_uri or store_for_new(home.workspace.out)
    check_early(uri)
    return replace(
        job,
        out=head.out,
        tracking_uri=uri if is_server(uri) or not head.remote else None,
        at_most=record.room(),
        prices=record.prices(),
        shares_files=record.shared is not None,
        patience=record.patience(),
        checkpoint_minutes=record.checkpoint_minutes,
        store=record.store,
        again=home.resume(),
    )


def submit(head: Head, job: Job, spec: str | None) -> str:
    """Submit a job to the head. Returns its id. Raises UserError."""
    moment = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    job_id = f"{job.target.replace('/', '-')}-{job.verb}-{moment}"
    place = f"{head.out}/{layout.JOBS}/{job_id}"
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch) / "files"
        files.mkdir(mode=0o700)  # it stays so there: the address of a store may have a password in it
        replace(job, spec=f"{place}/{layout.SPEC}" if spec else None).write(files / layout.CONFIG)
        if spec:
            (files / layout.SPEC).write_text(spec, encoding="utf-8")
        for file in files.iterdir():
            file.chmod(0o600)
        head.push(files, place)
        command = f"exec {for_shell(head.python)} -m orchestrator driver {for_shell(f'{place}/{layout.CONFIG}')}"
        head.jobs.submit(job_id, command, package(Path(scratch)), head.settings, head.resources)
    return job_id


def for_shell(path: str) -> str:
    """A path for a shell, which is to expand a leading `~/` alone."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def follow(head: Head, job_id: str, verb: str, home: Home) -> int:
    """Show a job's log until it has ended, then bring its results home and show them. Returns its exit code.

    Ctrl-C detaches: the job goes on. Raises UserError, ClusterFailed, OutOfSight, HeadLost and NoResult.
    """
    console = home.console
    gone = HeadLost(f"{home.name}: its cluster was lost.", f"resume       {home.resume()}")
    try:
        with home.tracking(head):
            log = head.jobs.follow(job_id, lambda: reopened(head, gone))
            replay(log, lambda board: watch(board, console), lambda line: say(console, line))
        state = head.jobs.status(job_id)
    except KeyboardInterrupt as stop:
        say(console, f"Detached: {job_id} goes on.")
        for word in ("attach", "stop"):
            say(console, f"{word:<12} {home.command(word)}")
        return exit_code(stop)
    except NoAnswer as error:
        if head.lost():
            raise gone from None
        cures = (f"{word:<12} {home.command(word)}" for word in ("attach", "stop"))
        raise OutOfSight(f"{home.name}: the cluster does not answer, but may go on: {error}", *cures) from None
    return finish(head, state, verb, home)


def reopened(head: Head, gone: HeadLost) -> str:
    """Open the way to a head again. Returns its new address. Raises NoAnswer, and `gone` if it is gone for good."""
    try:
        return head.reopen()
    except NoAnswer:
        if head.lost():
            raise gone from None
        raise


def finish(head: Head, state: State, verb: str, home: Home) -> int:
    """Bring the results of a job that has ended home, and show them. Returns the driver's exit code."""
    if state.exit_code == CLUSTER_FAILED:
        raise ClusterFailed(f"{home.name}: its cluster had no machines.", f"resume       {home.resume()}")
    if state.exit_code not in DRIVERS_OWN:
        cures = [f"logs         {home.command('logs')}", f"resume       {home.resume()}"]
        raise ClusterFailed(f"{home.name}: its driver was lost: {cause(state)}", *cures)
    try:
        home.pull(head)
    except UserError as error:
        if not state.exit_code:
            raise
        if not isinstance(error, NoSuchFolder):  # it has not begun
            for line in error.lines:
                say(home.console, line)
    if state.exit_code != MISTAKE:
        home.show(verb, state.exit_code in INTERRUPTED)
    return state.exit_code


def cause(state: State) -> str:
    """Why a driver was lost."""
    if state.exit_code and state.exit_code > SIGNALS:
        return f"it was killed by signal {state.exit_code - SIGNALS}."
    return state.message.strip().partition("\n")[0] or "it was killed."


def end(record: RemoteCluster, state: Path, console: Console) -> None:
    """End a cluster, and say what may still run."""
    for line in record.down(state):
        say(console, f"may run      {line}")


@contextmanager
def reached(out: Path, name: str) -> Iterator[tuple[Sent, Head]]:
    """Yields where a sweep or run was sent, and the head of that cluster, which is up. Raises UserError."""
    sent = Sent.read(out, name)
    record = read_cluster(sent.file)
    with record.opened(state_folder(Path(sent.file).stem), out) as head:
        yield sent, head
