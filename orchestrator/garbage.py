"""Python's search for garbage in cycles, in the processes of this project."""

import atexit
import gc
import sys

MOST_NEW = 50_000  # objects; Python's own number is 700
REPORTS_LEAKS = "triton"  # a library that complains of its objects that are left at the end


def search_rarely() -> None:
    """Have Python search for garbage in cycles after every `MOST_NEW` new objects, and not when the process ends.

    It walks over objects most of which imports made: a fifth of the time of importing torch, Ray and MLflow, and a
    tenth of that of small trainings. Memory does not wait for it, as no training makes a cycle that holds a tensor.
    """
    gc.set_threshold(MOST_NEW)
    atexit.register(_leave_all)


def _leave_all() -> None:
    """Leave what is there now to the operating system, which frees a process's memory at once."""
    if REPORTS_LEAKS not in sys.modules:
        gc.freeze()
