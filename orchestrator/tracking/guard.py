"""A process that runs a server, and ends it when the process that asked for it ends, even if that is killed.

That process holds the other end of standard input, which closes when it ends. This needs nothing of the operating
system but process groups, and also ends all processes that the server has started.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

PATIENCE_S = 10.0  # for a server that is asked to end


def main() -> int:
    """Run the command of the arguments until standard input closes; its exit code."""
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_watch, args=(server.pid,), daemon=True).start()
    code = server.wait()
    _end(server.pid)  # the processes that it left behind
    return code


def _watch(group: int) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    _end(group)


def _end(group: int) -> None:
    """End all processes of a group, by force if need be."""
    with suppress(ProcessLookupError, PermissionError):  # there are none left; macOS gives the latter for ended ones
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(0.05)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
