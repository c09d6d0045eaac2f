"""Reaches the head of a cluster by a tunnel of SSH: that of a record of kind `ssh`, and of others that have a host."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoAnswer
from orchestrator.clusters.jobs import Jobs
from orchestrator.clusters.openssh import HostError, Remote
from orchestrator.clusters.settings import settings_of
from orchestrator.clusters.state import TOKEN, token


def opened(record, state: Path) -> AbstractContextManager[Head]:
    """Yields the head of a cluster that is up. `state` is the cluster's folder on this machine. Raises UserError."""
    remote = Remote(record.head, record.user, record.port, record.key, state)
    return behind_tunnel(remote, record.dashboard_port, record, settings_of(os.environ))


@contextmanager
def behind_tunnel(remote: Remote, dashboard_port: int, record, settings: dict[str, str]) -> Iterator[Head]:
    """Yields the head on a host, with the folder and the Python that a record has. Raises UserError.

    `settings` are environment variables for its jobs.
    """
    token(remote.state)
    with ExitStack() as tunnels:

        def reopen() -> str:
            tunnels.close()
            try:
                return f"http://127.0.0.1:{tunnels.enter_context(remote.tunnel(dashboard_port)).port}"
            except HostError as error:
                raise NoAnswer(*error.lines) from None

        jobs = Jobs(reopen(), remote.state / TOKEN)
        jobs.check()
        yield Head(
            jobs=jobs,
            out=record.shared or record.folder,
            python=record.python,
            reopen=reopen,
            remote=remote,
            settings=settings,
        )
