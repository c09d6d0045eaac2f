"""The cluster of a file of kind `ssh`, for hosts of a lab."""

import json
import sys
from typing import Any

from orchestrator.clusters.ssh import Ssh

USUAL = {
    "head": "gpu1",
    "workers": ["gpu2", "gpu3"],
    "python": sys.executable,
    "cpus": 1,
    "train_on_head": False,
}


def ssh_cluster(**changes: Any) -> Ssh:
    """Three hosts, of which the head does not train, with these changes."""
    return Ssh.model_validate_json(json.dumps(USUAL | changes))
