"""One file for each verb of the command line: what it does, in order, and what it prints.

Read `sweep.py` first. The verbs leave the work itself to the other packages of orchestrator/.
"""

__all__ = [
    "catalogue",
    "cluster",
    "datasets",
    "draw",
    "driver",
    "dry_run",
    "evaluate",
    "examples",
    "extend",
    "figure",
    "listing",
    "models",
    "remove",
    "rename",
    "report",
    "results",
    "resume",
    "send",
    "spec_file",
    "stop",
    "store",
    "sweep",
    "train",
    "ui",
    "versions",
    "watch",
]  # the modules that others import
