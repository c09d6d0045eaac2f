"""The verbs of `vaeorch cluster`: check, start and end clusters, and look after the sweeps that were sent to them.

`cluster_jobs.py` sends them.
"""

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from orchestrator import terminal
from orchestrator.clusters.base import RemoteCluster
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.orphans import find_orphans
from orchestrator.clusters.read import read_cluster
from orchestrator.clusters.state import known_clusters, note_file, state_folder
from orchestrator.commands.billing import agree
from orchestrator.commands.cluster_jobs import finish, follow, reached
from orchestrator.commands.home import Home
from orchestrator.commands.sent import Sent
from orchestrator.errors import UserError
from orchestrator.reporting.console import PlainLines
from orchestrator.reporting.event_log import replay
from orchestrator.storage import layout
from orchestrator.storage.workspace import Workspace
from orchestrator.terminal import say


def remote_cluster(file: Path) -> RemoteCluster:
    """The cluster of a file. Raises SpecError, and UserError for this machine, which is none."""
    record = read_cluster(file)
    if not isinstance(record, RemoteCluster):
        raise UserError(f"{file}: is of kind {record.kind}: there is no cluster to look after.")
    return record


def check(file: Path) -> None:
    """Look at each host, and print what it has. Starts nothing. Raises UserError with all that is wrong."""
    record = remote_cluster(file).priced()
    for line in [*record.summary(), *record.check(state_folder(file.stem))]:
        click.echo(line)


def show(file: Path) -> None:
    """Print what would be started, and how."""
    record = remote_cluster(file).priced()
    for line in record.summary():
        click.echo(line)
    if text := record.rendered():
        click.echo(f"\n{text}", nl=False)


def up(file: Path, yes: bool = False) -> None:
    """Start a cluster, which stays until `down`. Raises UserError, and then nothing runs."""
    record, state = remote_cluster(file).priced(), state_folder(file.stem)
    agree(record, yes, click.echo)
    note_file(state, file)
    record.up(state, click.echo)
    click.echo(f"{file.stem} is up. End it: vaeorch cluster down {file}")


def down(files: Iterable[Path], forgotten: bool = False) -> None:
    """End clusters, after the jobs that run there were stopped in order; if `forgotten`, also machines of none.

    Raises UserError for what may still run.
    """
    left = []
    for file in files:
        try:
            record, state = remote_cluster(file), state_folder(file.stem)
            if not record.is_ours:
                click.echo(f"{file.stem} was not started by vaeorch: it stays up. Stop a sweep: vaeorch stop NAME")
                continue
            stop_jobs(record, state)
            unsure = record.down(state)
        except UserError as error:  # the others are ended all the same
            unsure = error.lines
        left += unsure
        click.echo(f"{file.stem}: not all of it is known to have ended." if unsure else f"{file.stem} is down.")
    try:
        for each in find_orphans() if forgotten else ():
            left += each.end()
            click.echo(f"{each.cluster}: its {len(each.machines)} machines were ended.")
    except UserError as error:
        left += error.lines
    if left:
        raise UserError(*left)


def stop_jobs(record: RemoteCluster, state: Path) -> None:
    """Stop all jobs of a cluster in order; of no effect where it cannot be asked."""
    with suppress(UserError), record.opened(state, Path()) as head:
        for job in head.jobs.list():
            if not job.state.ended:
                click.echo(f"stopping     {job.id}")
                head.jobs.stop(job.id)


def started_files() -> list[Path]:
    """The files of all clusters that this machine has started."""
    return [file for _, file in known_clusters()]


def ls(out: Path) -> None:
    """Print the clusters that this machine has started, machines that belong to none, and the sweeps of `out` there."""
    for state, file in known_clusters():
        click.echo(f"{state.name:<20} {_standing_of_cluster(file, state):<24} {file}")
    for line in _orphans():
        click.echo(line)
    for file in sorted((out / layout.SENT).glob("*.json")):
        sent = Sent.read(out, file.stem)
        click.echo(f"{file.stem:<20} {_standing(out, file.stem):<24} {sent.job} on {Path(sent.file).stem}")


def attach(name: str, workspace: Workspace, json_wanted: bool) -> int:
    """Show the last job of a sweep from its beginning; once it has ended, its results. Returns its exit code."""
    console = terminal.console(stderr=json_wanted)
    with reached(workspace.out, name) as (sent, head):
        return follow(head, sent.job, sent.verb, Home(workspace, name, console, Path(sent.file), json_wanted).at(head))


def logs(name: str, out: Path) -> None:
    """Print the log of a sweep's last job, its events in words."""
    console = terminal.console()
    with reached(out, name) as (sent, head):
        lines = head.jobs.logs(sent.job).splitlines()
        replay(lines, lambda board: PlainLines(board, console), lambda line: say(console, line))


def stop(name: str, workspace: Workspace) -> int:
    """Stop the last job of a sweep in order, and bring home what it has. Returns its exit code, 143."""
    console = terminal.console()
    with reached(workspace.out, name) as (sent, head):
        say(console, f"stopping     {sent.job}")
        state = head.jobs.stop(sent.job)
        return finish(head, state, sent.verb, Home(workspace, name, console, Path(sent.file)).at(head))


def pull(name: str, workspace: Workspace, whole: bool) -> None:
    """Bring home what a sweep has so far, and send it to MLflow. `whole`: also what trials resume from.

    Where the head does not answer, that is the newest snapshot in the cluster's store. Raises UserError.
    """
    console, sent = terminal.console(), Sent.read(workspace.out, name)
    home, had = Home(workspace, name, console, Path(sent.file)), f"what {name} has so far."
    with ExitStack() as way:
        try:
            _, head = way.enter_context(reached(workspace.out, name))
        except UserError as error:
            store = read_cluster(sent.file).store
            if not store:
                raise
            say(console, f"note         the head does not answer: {error.lines[0]}")
            had = f"what {home.pull_snapshot(store, whole)} has."
        else:
            home = home.at(head)
            home.pull(head, whole)
    for line in home.send().lines(home.command("pull")):
        say(console, line)
    say(console, f"{home.folder} has {had}")


def _standing_of_cluster(file: Path, state: Path) -> str:
    """Whether a cluster is up, in a few words, or what is wrong with its file."""
    try:
        return remote_cluster(file).standing(state)
    except UserError as error:
        return error.lines[0]


def _orphans() -> list[str]:
    """A line for each cluster whose machines are billed and that no file accounts for."""
    try:
        return [
            f"{one.cluster:<20} {len(one.machines)} machines without a file, in {one.region}" for one in find_orphans()
        ]
    except UserError as error:
        return [f"machines that belong to no cluster cannot be looked for: {error.lines[0]}"]


def _standing(out: Path, name: str) -> str:
    """How a sweep that was sent to a cluster stands, in a few words."""
    try:
        with reached(out, name) as (sent, head):
            state = head.jobs.status(sent.job)
    except NoAnswer:
        return "the cluster is down"
    except UserError as error:
        return error.lines[0]
    return state.status.lower() + (f" ({state.exit_code})" if state.exit_code else "")
