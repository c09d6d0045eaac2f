"""A lab: separate machines on this one, on a network of their own that leads nowhere.

Each machine has its own network, processes, host name, disk, /tmp and shared memory, and an sshd; its disk begins as a
copy of this machine's, so the project and its Python are there. Needs root on Linux, and the programs of PROGRAMS.

    with Lab(tmp_path) as lab:
        gpu1 = lab.host("gpu1")
        lab.run(["ssh", "gpu1", "hostname"])  # on the laptop: this disk, in the lab's network, with a home of the lab
        gpu1.kill()

`network.py` has the Lab, `machine.py` a Host, `machines.sh` the steps that a shell does best.
"""

from tests.support.lab.host import Host
from tests.support.lab.network import PROGRAMS, Lab, unavailable

__all__ = ["PROGRAMS", "Lab", "Host", "unavailable"]
