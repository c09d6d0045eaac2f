"""Reaches the head of a cluster at AWS, by SSH and a tunnel as other hosts are."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestrator.clusters.aws.noted import Noted
from orchestrator.clusters.aws.render import DASHBOARD_PORT, IDLE, LOGS
from orchestrator.clusters.aws.standing import lost
from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.openssh import HostError, Remote, last_line
from orchestrator.clusters.settings import settings_of
from orchestrator.clusters.ssh_head import behind_tunnel

KEY = "key.pem"
OF_THIS_MACHINE = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION")  # machines there have a role and a region


def remote(record, state: Path) -> Remote:
    """The head as a host. Raises NoAnswer where there is none."""
    noted = Noted.read(state)
    if noted is None or not noted.address:
        raise NoAnswer(f"{state.name}: is not up.")
    return Remote(noted.address, record.user, None, str(state / KEY), state)


@contextmanager
def opened(record, state: Path) -> Iterator[Head]:
    """Yields the head of a cluster that is up. Raises UserError."""
    settings = {name: value for name, value in settings_of(os.environ).items() if name not in OF_THIS_MACHINE}
    with behind_tunnel(remote(record, state), DASHBOARD_PORT, record, settings) as head:
        yield replace(head, lost=partial(lost, state))


def down_when_idle(record, state: Path, minutes: float) -> None:
    """Have the watchdog wait so long for a job, in place of `idle_minutes`. Raises UserError."""
    head = remote(record, state)
    answer = head.run(f"mkdir -p {LOGS} && echo {60 * minutes:g} > {LOGS}/{IDLE}")
    if answer.returncode:
        raise HostError(head.host, f"cannot be told how long to stay up: {last_line(answer.stderr)}")
