"""The kind `slurm`: nodes that Slurm gives to jobs.

`record.py` has what a user writes and renders the script of a job from it, `jobs.py` submits it and looks after it, by
the programs that `commands.py` runs. `allocation.py` runs on the nodes themselves: it starts Ray there, then the
driver.
"""
