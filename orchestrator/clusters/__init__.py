"""Where trials run: the Ray that they run on, how many of them fit there at a time, and how their files come home.

`base.py` has what a user writes in a cluster file, `read.py` reads it. `connection.py` has what a command hands on:
this machine, or a cluster that it drives. `local.py` starts a private Ray on this machine, `resources.py` counts what
nodes have room for. `trial_store.py` keeps the files of trials on the driver's disk, for nodes that do not share it.

`head.py` is a cluster's head as the user's machine sees it, `job_system.py` what is asked of its jobs. `jobs.py` runs a
driver as a job of Ray; `slurm/` as one of Slurm, `kuberay/` as one of KubeRay. `ray_on_hosts.py` starts and ends Ray on
hosts that are reached by SSH: `openssh.py` reaches them, `on_host.py` is what runs there. `state.py` keeps what this
machine knows. `aws/` has machines of Amazon EC2; `cost.py` what a cluster can cost; `growth.py` looks whether it gets
its machines; `orphans.py` finds machines that were forgotten.
"""

__all__ = [
    "base",
    "connection",
    "cost",
    "growth",
    "head",
    "job_server",
    "job_system",
    "jobs",
    "lease",
    "local",
    "model_file",
    "openssh",
    "options",
    "orphans",
    "read",
    "resources",
    "scratch",
    "serving",
    "state",
]  # the modules that others import
