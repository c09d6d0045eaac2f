"""The cluster of a file of kind `aws`, as it is shipped, with changes."""

import json
from typing import Any

from orchestrator.clusters.aws.record import Aws

HEAD = {"instance": "m6i.xlarge", "profile": "vaeorch-head", "usd_per_hour": 0.2}
SPOT = {"instance": "g5.2xlarge", "profile": "vaeorch-worker", "cpus": 8, "gpus": 1, "at_most": 8, "spot": True}
USUAL = {
    "region": "us-west-2",
    "zones": ["a", "b"],
    "store": "s3://bucket/prefix",
    "image": "ami-0123456789abcdef0",
    "python": "~/venv/bin/python",
    "head": HEAD,
    "workers": [SPOT | {"usd_per_hour": 0.5}],
}


def aws_cluster(**changes: Any) -> Aws:
    """A head and spot machines with a GPU, with these changes."""
    return Aws.model_validate_json(json.dumps(USUAL | changes))
