"""Runs `ray up`, which starts the head: the only use of Ray's cluster launcher on this machine.

What starts workers, and ends those without work, is Ray's autoscaler on the head. `ray down` is not used: it takes
what it has asked for as done.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator.clusters.aws.errors import meaning_of_log
from orchestrator.errors import ClusterFailed, ReportedError

START_S = 1800.0  # for a machine to be had, its set-up, and Ray
LOG, SCRATCH = "up.log", "scratch"
LOG_LINES = 12  # shown where it fails
OURS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_UP_enable_autoscaler_v2": "1", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def ray_up(file: Path, state: Path) -> None:
    """Start the head of the launcher's `file`. If this is interrupted, the launcher is ended.

    Raises UserError and ClusterFailed, with the reason from the launcher's log.
    """
    scratch, log = state / SCRATCH, state / LOG
    scratch.mkdir(mode=0o700, exist_ok=True)
    words = [sys.executable, "-m", "ray.scripts.scripts", "up", "--yes", "--no-config-cache", "--log-color=false"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with log.open("w") as said:
        devices = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
        process = subprocess.Popen(
            [*words, str(file)], env=own | OURS | {"TMPDIR": str(scratch)}, start_new_session=True, **devices
        )
        try:
            code = process.wait(START_S)
        except subprocess.TimeoutExpired:
            raise failure(log, f"has not ended within {START_S / 60:g} minutes") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code:
        raise failure(log, "has failed")


def failure(log: Path, what: str) -> ReportedError:
    """The error for a launcher that did not start the head, from its log."""
    text = log.read_text(errors="replace")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    ending = "".join(f"\n  {line}" for line in lines[-LOG_LINES:])
    return meaning_of_log(text) or ClusterFailed(f"`ray up` {what}. Its log, {log}, ends:{ending}")
