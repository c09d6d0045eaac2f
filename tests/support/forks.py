"""Worker processes that need not import torch: each is a fork of one server that has imported it and done no work."""

import multiprocessing as mp
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

PRELOADED = ["torch._dynamo", "torch.distributed", "tests.support.evaluations"]  # what takes seconds to import


def context() -> BaseContext:
    """As `multiprocessing.get_context("spawn")`. The server starts with the first process, and ends with this one."""
    forks = mp.get_context("forkserver")
    forks.set_forkserver_preload(PRELOADED)
    return forks


def started(work: Callable, values: Iterable[tuple]) -> list[BaseProcess]:
    """A process for each tuple of arguments of `work`."""
    processes = [context().Process(target=work, args=each) for each in values]
    for process in processes:
        process.start()
    return processes


def join(processes: list[BaseProcess]) -> None:
    """Wait for the processes; fails if one failed."""
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)
