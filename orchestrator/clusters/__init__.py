"""Where trials run: the Ray that they run on, and how many of them fit there at a time.

`base.py` has what a user writes in a cluster file, `read.py` reads it. `local.py` starts a private Ray on this machine,
`resources.py` counts what its nodes have.
"""

__all__ = ["local", "read", "resources"]  # the modules that others import
