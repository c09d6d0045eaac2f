"""Ends a cluster at AWS from its head, whether or not anybody watches. `up` copies this file there.

So it imports the standard library and what Ray needs there, and nothing of ours. It ends the cluster once no job has
run for `idle_s`, once Ray's dashboard has not answered for DEAD_S, and after `end_s`: jobs first, which are asked to
end in order, then the workers, the head last. Meanwhile it sees to it that Ray starts machines of the next row where
those of the rows before it cannot be had, since Ray itself would ask for the same ones again and again.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

FOLDER = Path("~/.vaeorch").expanduser()
OWN = Path("~/.local/state/vaeorch").expanduser()
LAUNCHER_FILE = Path("~/ray_bootstrap_config.yaml").expanduser()  # Ray's autoscaler reads it again and again
LOOK_S = 5.0
DEAD_S = 300.0
STOP_S = 150.0  # for jobs to end in order; Ray kills them after RAY_JOB_STOP_WAIT_TIME_S
CLOSED_S = 300.0  # for which no machine of a row is asked for, after AWS has refused one
ANSWER_S = 10.0
UNFINISHED = ("PENDING", "RUNNING")


def watch(facts):
    """Ends the cluster when it is time to. `facts` are those of cluster.json."""
    first = first_look()
    busy, answered = time.time(), time.time()
    while True:
        try:
            jobs, answered = unfinished(facts), time.time()
            if jobs:
                busy = time.time()
        except (OSError, ValueError, KeyError):
            pass
        if reason := why(facts, first, busy, answered, time.time()):
            say(f"ending the cluster: {reason}")
            stop_jobs(facts)
            end(facts)
            return
        try:
            shift(facts)
        except Exception as error:  # Ray's and AWS's, of many kinds: machines are tried again soon
            say(f"cannot look for machines that are lacking: {type(error).__name__}: {error}")
        time.sleep(LOOK_S)


def why(facts, first, busy, answered, now):
    """Why the cluster is to end now; None: it is not."""
    if now - first >= facts["end_s"]:
        return "max_hours are over"
    if now - answered >= DEAD_S:
        return "Ray's dashboard does not answer"
    if now - busy >= idle_s(facts):
        return "no job has run for long"
    return None


def first_look():
    """When this program has run here first, though it was started again since."""
    noted = OWN / "started"
    OWN.mkdir(parents=True, exist_ok=True)
    if not noted.exists():
        noted.write_text(str(time.time()))
    return float(noted.read_text())


def idle_s(facts):
    """How long to wait for a job: what the user has asked for since, or what the file has."""
    try:
        return max(facts["idle_s"], float((OWN / "idle_s").read_text()))
    except (OSError, ValueError):
        return facts["idle_s"]


def asked(facts, path, method="GET"):
    """What Ray's dashboard answers. Raises OSError and ValueError."""
    secret = (FOLDER / "token").read_text().strip()
    url = f"http://127.0.0.1:{facts['dashboard_port']}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"}, method=method)
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(request, timeout=ANSWER_S) as answer:
        return json.load(answer)


def unfinished(facts):
    """The ids of jobs that have not ended. Raises OSError, ValueError and KeyError."""
    jobs = asked(facts, "/api/jobs/")
    return [job["submission_id"] for job in jobs if job["status"] in UNFINISHED and job["submission_id"]]


def stop_jobs(facts):
    """Asks all jobs to end, and waits until they have, for STOP_S at most."""
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline:
        try:
            jobs = unfinished(facts)
            for job in jobs:
                asked(facts, f"/api/jobs/{job}/stop", "POST")
        except (OSError, ValueError, KeyError):
            return
        if not jobs:
            return
        time.sleep(1.0)


def end(facts):
    """Ends the workers, then the head. Raises where AWS refuses; then it is done again, as this program is."""
    try:
        known = machines(facts)
        workers = [one["id"] for one in known if not one["head"]]
        if workers:
            say(f"ending {', '.join(workers)}")
            ec2(facts).terminate_instances(InstanceIds=workers)
        say("ending the head")
        ec2(facts).terminate_instances(InstanceIds=[one["id"] for one in known if one["head"]])
    except Exception as error:
        say(f"AWS does not end the machines ({type(error).__name__}: {error}); the head shuts itself down")
        subprocess.run(["sudo", "-n", "shutdown", "-h", "now"], check=False)
        raise


def machines(facts):
    """The cluster's machines that are billed."""
    of_ours = [
        {"Name": f"tag:{facts['tag']}", "Values": [facts["cluster"]]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    found = []
    for page in ec2(facts).get_paginator("describe_instances").paginate(Filters=of_ours):
        for one in (one for group in page["Reservations"] for one in group["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
            row = tags.get("ray-user-node-type", "")
            found.append({"id": one["InstanceId"], "head": tags.get("ray-node-type") == "head", "row": row})
    return found


def ec2(facts):
    import boto3

    return boto3.client("ec2", region_name=facts["region"])


def shift(facts):
    """Lets Ray ask for no more machines of a row that AWS has refused lately, if there is another row."""
    config = json.loads(LAUNCHER_FILE.read_text())
    refused = lately_refused(facts)
    if not refused and limits_of(config, facts) == facts["rows"]:
        return
    running = dict.fromkeys(facts["rows"], 0)
    for one in machines(facts):
        if one["row"] in running:
            running[one["row"]] += 1
    wanted = limits(facts["rows"], refused, running)
    if wanted != limits_of(config, facts):
        say(f"machines at most, of each row: {wanted}")
        for row, at_most in wanted.items():
            config["available_node_types"][row]["max_workers"] = at_most
        draft = LAUNCHER_FILE.with_name(f".{LAUNCHER_FILE.name}.new")
        draft.write_text(json.dumps(config))
        draft.chmod(0o600)
        os.replace(draft, LAUNCHER_FILE)


def limits_of(config, facts):
    """Row -> how many machines of it Ray may have now."""
    return {row: config["available_node_types"][row]["max_workers"] for row in facts["rows"]}


def limits(rows, refused, running):
    """Row -> how many machines of it Ray may have.

    Args:
        rows: row -> how many it may have by the cluster's file.
        refused: the rows of which AWS has refused a machine lately.
        running: row -> how many it has.
    """
    if set(refused) >= set(rows):  # there is nothing to go on to
        return dict(rows)
    return {row: running[row] if row in refused else at_most for row, at_most in rows.items()}


def lately_refused(facts):
    """The rows of which AWS has refused a machine within CLOSED_S."""
    from ray.autoscaler.v2.sdk import get_cluster_status

    status, now = get_cluster_status(f"127.0.0.1:{facts['ray_port']}"), time.time()
    recent = [one for one in status.failed_launches if now - (one.failed_ts_s or 0) < CLOSED_S]
    return sorted({one.ray_node_type_name for one in recent})


def say(line):
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    watch(json.loads(Path(sys.argv[1]).expanduser().read_text()))
