"""The files of sweeps, trials and runs on the disk, written whole or not at all.

`layout.py` names every file; most other modules read and write one kind of them. `snapshots.py` keeps a sweep's folder
in a bucket.
"""

__all__ = [
    "blobs",
    "bucket",
    "disk",
    "evaluations_file",
    "journal",
    "json_files",
    "last_epoch",
    "layout",
    "locks",
    "metric_lines",
    "snapshots",
    "stored_sweep",
    "sweep_folder",
    "trial_folder",
    "within_epoch",
    "workspace",
]  # the modules that others import
