"""Reaches the head of a cluster on hosts by a tunnel of SSH, for a record of kind `ssh`."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.jobs import Jobs
from orchestrator.clusters.openssh import HostError, Remote
from orchestrator.clusters.settings import settings_of
from orchestrator.clusters.state import TOKEN, token


@contextmanager
def opened(record, state: Path) -> Iterator[Head]:
    """Yields the head of a cluster that is up. `state` is the cluster's folder on this machine. Raises UserError."""
    token(state)
    remote = Remote(record.head, record.user, record.port, record.key, state)
    with ExitStack() as tunnels:

        def reopen() -> str:
            tunnels.close()
            try:
                return f"http://127.0.0.1:{tunnels.enter_context(remote.tunnel(record.dashboard_port)).port}"
            except HostError as error:
                raise NoAnswer(*error.lines) from None

        jobs = Jobs(reopen(), state / TOKEN)
        jobs.check()
        yield Head(
            jobs=jobs,
            out=record.shared or record.folder,
            python=record.python,
            reopen=reopen,
            remote=remote,
            settings=settings_of(os.environ),
        )
