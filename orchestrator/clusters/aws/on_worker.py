"""Looks after a worker at AWS, on the worker itself. `up` copies this file there.

So it imports the standard library and Ray, and nothing of ours. AWS gives notice two minutes before it takes a spot
machine away, in the metadata that each machine reads of itself: then Ray places nothing new on it, and counts what is
lost with it as the machine's fault. And a worker that does not reach its head for HEADLESS_S shuts itself down, which
ends it: nobody else would.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path

METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
NOTICE = "/latest/meta-data/spot/instance-action"
LOOK_S = 5.0
ANSWER_S = 5.0
TOKEN_S = 21600
NOTICE_S = 120.0  # where AWS does not say when
HEADLESS_S = 600.0


def watch(facts, head):
    """Looks for the notice and for the head. `facts` are those of cluster.json, `head` the head's address."""
    seen, drained = time.monotonic(), False
    while time.monotonic() - seen < HEADLESS_S:
        if reaches(head, facts["ray_port"]):
            seen = time.monotonic()
        if not drained and (notice := noticed()):
            say(f"AWS takes this machine away: {notice}")
            drain(f"{head}:{facts['ray_port']}", own_address(head), deadline(notice, time.time()))
            say("the node is drained")
            drained = True
        time.sleep(LOOK_S)
    say("the head is lost; this machine shuts itself down")
    shut_down()


def reaches(head, port):
    """Whether the head's Ray can be connected to."""
    try:
        socket.create_connection((head, port), ANSWER_S).close()
    except OSError:
        return False
    return True


def shut_down():
    own = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*own, "shutdown", "-h", "now"], check=True)


def noticed():
    """The notice; None while there is none, or while the metadata cannot be read."""
    try:
        secret = asked("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}).decode()
        return json.loads(asked("GET", NOTICE, {"X-aws-ec2-metadata-token": secret}))
    except (OSError, ValueError):
        return None


def asked(method, path, headers):
    request = urllib.request.Request(f"{METADATA}{path}", headers=headers, method=method)
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(request, timeout=ANSWER_S) as answer:
        return answer.read()


def deadline(notice, now):
    """When the machine is gone, in unix seconds."""
    try:
        return datetime.fromisoformat(notice["time"].replace("Z", "+00:00")).timestamp()
    except (KeyError, TypeError, ValueError, AttributeError):
        return now + NOTICE_S


def own_address(head):
    """The address by which the head knows this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((head, 9))  # nothing is sent
        return probe.getsockname()[0]


def drain(gcs, address, until_s):
    """Has Ray place nothing more on the node at an address, which is gone at `until_s`. Raises RuntimeError."""
    from ray._raylet import GcsClient
    from ray.core.generated import autoscaler_pb2

    client = GcsClient(address=gcs)
    nodes = [
        node
        for node, known in client.get_all_node_info().items()
        if known.node_manager_address == address and known.state == 0
    ]
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    for node in nodes:
        accepted, why = client.drain_node(node.hex(), reason, "AWS takes the machine away", int(1000 * until_s))
        if not accepted:
            raise RuntimeError(f"Ray does not drain {node.hex()}: {why}")


def say(line):
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    watch(json.loads(Path(sys.argv[1]).expanduser().read_text()), os.environ["RAY_HEAD_IP"])
