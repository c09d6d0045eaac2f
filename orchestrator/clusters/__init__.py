"""Where trials run: the Ray that they run on, and how many of them fit there at a time.

`local.py` starts a private Ray on this machine, `resources.py` counts what its nodes have. `ray_on_hosts.py` starts and
ends Ray on hosts that are reached by SSH: `openssh.py` reaches them, `on_host.py` is what runs there, and `state.py`
keeps what this machine knows of a cluster.
"""

__all__ = ["local", "resources"]  # the modules that others import
