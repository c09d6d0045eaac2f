"""Where trials run: the Ray that they run on, and how many of them fit there at a time.

`local.py` starts a private Ray on this machine, `resources.py` counts what its nodes have. `jobs.py` runs a sweep's
driver as a job on the head of a cluster.
"""

__all__ = ["local", "resources"]  # the modules that others import
