"""Schedulers decide which trials stop early. Each is one file, and one line in `table.py`.

Read `base.py` first: it defines the calls that a scheduler answers.
"""

__all__ = ["asha", "base", "run_all", "table"]  # the modules that others import
