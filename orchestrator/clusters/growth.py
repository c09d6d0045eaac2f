"""Whether a cluster that grows gets the machines that a sweep has use for. The driver looks, and tells the user.

Ray's autoscaler asks for machines again and again and tells nobody that it gets none.
"""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.clusters.aws.errors import meaning_of_log
from orchestrator.errors import ClusterFailed

LOOK_S = 5.0
LATE_S = 600.0  # for which a refusal counts
LONGEST_S = 3600.0  # without such a node, after which a sweep ends in any case: machines may fail to be set up
LONGEST, LOG_BYTES = 200, 2**18  # of a reason, and of the log in which it is looked for
REFUSED = re.compile(r"Failed to launch \d+ nodes of type (?P<kind>\S+): (?P<reason>.*)")


@dataclass
class Growth:
    """What has been found so far."""

    patience_s: float
    """Without a node on which trials may run, after which a sweep ends, if machines were refused."""
    looked: float = float("-inf")
    without_since: float | None = None
    """Since when no trial can run anywhere."""
    told: dict[str, str] = field(default_factory=dict)
    """Kind of machine -> why it was refused, as it was told last."""

    def look(self) -> None:
        """Look, if the last time was LOOK_S ago; print what is new. Raises ClusterFailed after `patience_s`."""
        now = time.monotonic()
        if now - self.looked < LOOK_S:
            return
        self.looked = now
        for line in self.judge(has_node(), refused(), now):
            print(line, flush=True)

    def judge(self, has_node: bool, refused: dict[str, str], now: float) -> list[str]:
        """The lines to tell, of what was found at a time. Raises ClusterFailed."""
        new = {kind: reason for kind, reason in refused.items() if self.told.get(kind) != reason}
        self.told |= new
        if has_node:
            self.without_since = None
        elif self.without_since is None:
            self.without_since = now
        elif now - self.without_since > LONGEST_S:
            cure = "Do the commands of `setup` end there, with Ray's packages in `python`?"
            raise ClusterFailed(f"No machine has joined the cluster within {LONGEST_S / 60:g} minutes. {cure}")
        elif refused and now - self.without_since > self.patience_s:
            reasons = (f"no {kind}: {reason}" for kind, reason in refused.items())
            raise ClusterFailed(f"The cluster has had no machine for {self.patience_s / 60:g} minutes.", *reasons)
        return [f"waiting      no {kind}: {reason}" for kind, reason in new.items()]


def has_node() -> bool:
    """Whether there is a node on which trials may run."""
    import ray

    return any(node["Alive"] and node["Resources"].get("CPU") for node in ray.nodes())


def refused() -> dict[str, str]:
    """Kind of machine -> why the last one was refused, if it was of late. Empty where there is no autoscaler."""
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status

    try:
        launches = get_cluster_status(ray.get_runtime_context().gcs_address).failed_launches
    except Exception:  # Ray's, of many kinds: where there is no autoscaler, or it does not answer for a moment
        return {}
    late = {one.ray_node_type_name for one in launches if time.time() - (one.failed_ts_s or 0) < LATE_S}
    return reasons_in(autoscaler_log(), late) if late else {}


def reasons_in(log: str, kinds: Iterable[str]) -> dict[str, str]:
    """Kind of machine -> why it was refused last, as the log of Ray's autoscaler says: nothing else has the reason."""
    said = {found["kind"]: found["reason"] for found in REFUSED.finditer(log)}
    return {kind: _reason(said.get(kind, "")) for kind in sorted(kinds)}


def _reason(said: str) -> str:
    known = meaning_of_log(said)
    return known.lines[0] if known else f"{' '.join(said.split())[:LONGEST] or 'it was refused'}."


def autoscaler_log() -> str:
    """The end of the log of Ray's autoscaler, which runs on this machine, the head."""
    from ray._private import worker

    try:
        with (Path(worker._global_node.get_logs_dir_path()) / "monitor.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def awaited(call: Any, growth: Growth | None) -> Any:
    """The same call to Ray, once it is done if a cluster without nodes has to grow for it. Raises ClusterFailed."""
    import ray

    while growth and not ray.wait([call], timeout=LOOK_S)[0]:
        growth.look()
    return call
