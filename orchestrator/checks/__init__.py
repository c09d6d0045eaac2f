"""Reads specs and data, and finds every mistake in them before anything starts.

`read.py` reads a whole spec, `check.py` tries every value that its search could take, `reading.py` reads data sets.
"""

__all__ = ["check", "read", "reading"]  # the modules that others import
