"""Which trials stop early. A scheduler is one file, and one line in `table.py`.

Read `base.py` first: what a scheduler is asked, and by whom.
"""

__all__ = ["asha", "base", "run_all", "table"]  # the modules that others import
