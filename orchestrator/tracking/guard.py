"""A process that ends a server with the process that wanted it, however that one ends.

The one that wants the server holds the other end of standard input, which closes with it: also where it is killed. This
needs nothing of the operating system but process groups, and reaches whatever the server has started.
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
    """Run the command of the arguments until standard input ends; its exit code."""
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_watch, args=(server.pid,), daemon=True).start()
    code = server.wait()
    _end(server.pid)  # what it left behind
    return code


def _watch(group: int) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    _end(group)


def _end(group: int) -> None:
    """End all processes of a group, by force if need be."""
    with suppress(ProcessLookupError, PermissionError):  # there are none; macOS says the latter of those that ended
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(0.05)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
