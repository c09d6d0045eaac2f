"""One file for each verb of the command line: what it does, in order, and what it says.

`sweep.py` is the one to read first. Verbs hand the work on to the packages below.
"""

__all__ = [
    "catalogue",
    "datasets",
    "dry_run",
    "evaluate",
    "results",
    "resume",
    "spec_file",
    "store",
    "sweep",
    "train",
    "ui",
]  # the modules that others import
