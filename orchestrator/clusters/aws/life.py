"""Starts and ends a cluster at AWS: `up` and `down`.

Whatever fails after the first thing was made, and Ctrl-C, ends in `down`. What is made is noted on this machine before.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.clusters.aws.checking import Found, find
from orchestrator.clusters.aws.cloud import Cloud
from orchestrator.clusters.aws.launcher import ray_up
from orchestrator.clusters.aws.lint import lint
from orchestrator.clusters.aws.network import make_key, make_placement_group, make_security_group, own_network, remove
from orchestrator.clusters.aws.noted import Noted, asked_of, forget, forgotten, name_of_cluster
from orchestrator.clusters.aws.reach import KEY, opened
from orchestrator.clusters.aws.render import (
    FACTS,
    ON_WORKER,
    TOKEN,
    WATCHDOG,
    Places,
    as_yaml,
    facts_text,
    render,
)
from orchestrator.clusters.aws.standing import is_up
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.state import KNOWN_HOSTS, changing, owner, token
from orchestrator.errors import ClusterFailed, ReportedError, UserError
from orchestrator.signals import Deferred
from orchestrator.storage.json_files import write_whole

MOUNTS, LAUNCHER_FILE = "mounts", "launcher.yaml"
ANSWER_S, PAUSE_S = 120.0, 2.0  # for the new head to answer
WAIT = "AWS still shows machines of {cluster} in {region}: {left}. Run `vaeorch cluster down` again in some minutes."


def up(record, state: Path, say: Callable[[str], None]) -> bool:
    """Have the head running; workers come as a sweep has use for them. Returns whether it was not running before.

    Raises UserError and ClusterFailed, and then nothing is billed; where that is not certain, `say` tells it.
    """
    lint(record)
    with changing(state):
        cloud, noted = Cloud(record.region), Noted.read(state)
        if noted and is_up(noted):
            noted.refuse_edited(record)
            return False
        if noted:
            say(f"Ending what is left of {noted.cluster}.")
            if left := _end(noted, state):
                raise UserError(*left)
        noted = Noted(
            name_of_cluster(state),
            record.region,
            placement_group=any(r.close_together for r in record.workers),
            asked=asked_of(record),
        )
        noted.write(state)
        try:
            found = find(cloud, record)
        except BaseException:
            forget(state)  # nothing was made
            raise
        with ended_on_failure(noted, state, say):
            _start(record, state, noted, found, say)
        return True


def down(record, state: Path) -> list[str]:
    """End all machines, and remove the key. Returns a line for what may still run. Raises UserError.

    Where nothing is noted, also the machines of this cluster that this user has started from this machine before.
    """
    with changing(state):
        if noted := Noted.read(state):
            return _end(noted, state)
        names = {name_of_cluster(state), *forgotten(Cloud(record.region), state)}
        return [line for name in sorted(names) for line in _end(Noted(name, record.region), state)]


@contextmanager
def ended_on_failure(noted: Noted, state: Path, say: Callable[[str], None]):
    """Ends the cluster if this context fails or is interrupted."""
    try:
        yield
    except BaseException:
        with Deferred():  # one more Ctrl-C does not keep machines running
            try:
                left = _end(noted, state)
            except ReportedError as error:
                left = [*error.lines, WAIT.format(cluster=noted.cluster, region=noted.region, left="not known")]
            for line in left:
                say(line)
        raise


def _start(record, state: Path, noted: Noted, found: Found, say: Callable[[str], None]) -> None:
    """Make what machines need, and start the head. Raises UserError and ClusterFailed."""
    cloud = Cloud(record.region)
    group = make_security_group(cloud, found.vpc, own_network(cloud, record, found.vpc))
    make_key(cloud, noted.cluster, state / KEY)
    if noted.placement_group:
        make_placement_group(cloud, noted.cluster)
    mounts = state / MOUNTS
    places = Places(
        noted.cluster, owner(), found.subnets, group, str(state / KEY), str(mounts), root_device=found.root_device
    )
    write_mounts(record, places, mounts, token(state))
    file = state / LAUNCHER_FILE
    write_whole(file, as_yaml(render(record, places)))
    file.chmod(0o600)
    say(f"Starting {record.head.instance} in {record.region}, the head of {noted.cluster}.")
    ray_up(file, state)
    (state / KNOWN_HOSTS).unlink(missing_ok=True)  # of earlier machines with the same addresses
    [head] = [one for one in cloud.alive(noted.cluster) if one.head]
    address = head.private_address if record.private_addresses else head.public_address
    replace(noted, address=address).write(state)
    _wait(record, state)


def write_mounts(record, places: Places, folder: Path, secret: str) -> None:
    """Write what each machine gets: the cluster's token, and our programs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name in (WATCHDOG, ON_WORKER):
        shutil.copyfile(Path(__file__).with_name(name), folder / name)
    (folder / FACTS).write_text(facts_text(record, places))
    (folder / TOKEN).touch(mode=0o600)
    (folder / TOKEN).write_text(secret)


def _wait(record, state: Path) -> None:
    """Wait until the head takes jobs. Raises UserError, and ClusterFailed where it does not answer."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            with opened(record, state):
                return
        except NoAnswer as error:
            if time.monotonic() > deadline:
                raise ClusterFailed(
                    f"The head was started, but does not answer within {ANSWER_S:g} s: {error}"
                ) from None
        time.sleep(PAUSE_S)


def _end(noted: Noted, state: Path) -> list[str]:
    """End all machines of a cluster. Returns a line for those that may still run. Raises UserError."""
    cloud = Cloud(noted.region)
    if left := cloud.end(noted.cluster):
        machines = ", ".join(f"{one.id} ({one.state})" for one in left)
        return [WAIT.format(cluster=noted.cluster, region=noted.region, left=machines)]
    remove(cloud, noted.cluster, noted.placement_group)
    shutil.rmtree(state / MOUNTS, ignore_errors=True)
    (state / KEY).unlink(missing_ok=True)
    forget(state)
    return []
