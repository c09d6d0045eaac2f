"""Out of memory: how it is detected, and what the user reads then.

Linux kills processes without a message, and Ray can only guess why.
"""

import re
from pathlib import Path

COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))  # of this container, else of the machine
REFUSED = re.compile("out of memory|can't allocate memory|MemoryError")  # of PyTorch, for GPU and host, and of numpy
NO_ROOM = "the network or a batch has no room in memory. Make network.hidden, network.latent_dim or batch_size smaller."


def oom_kills() -> int:
    """The processes killed so far by the system's out-of-memory killer; 0 where no file counts them."""
    for file in COUNTERS:
        if file.exists() and (found := re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)):
            return int(found[1])
    return 0
