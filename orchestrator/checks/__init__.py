"""Reads specs and data, and finds every mistake in them before anything starts.

`read.py` reads a whole spec, `check.py` checks every value that its search could take, `consistency.py` what must hold
between values, `reading.py` reads data sets.
"""

__all__ = ["check", "read", "reading"]  # the modules that others import
