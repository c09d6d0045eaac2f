"""The program that ends a cluster from its head: when it does, in which order, and what it leaves: nothing."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError

from orchestrator.clusters.aws import watchdog
from tests.support.aws_accounts import IMAGE_OF_MOTO, REGION, account, refusing, states

FACTS = {"cluster": "c", "tag": "vaeorch", "region": REGION, "idle_s": 600, "end_s": 3600, "dashboard_port": 0}
ROWS = {"spot": 8, "on-demand": 4}


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path):
    monkeypatch.setattr(watchdog, "FOLDER", tmp_path)
    monkeypatch.setattr(watchdog, "OWN", tmp_path / "own")
    monkeypatch.setattr(watchdog, "LAUNCHER_FILE", tmp_path / "launcher.json")
    (tmp_path / "token").write_text("secret")
    return tmp_path


class Dashboard:
    """Jobs, each of which runs until it is stopped; and what was asked: (method, path, token)."""

    def __init__(self, *running: str):
        self.running, self.asked = list(running), []

    def __enter__(self):
        dashboard = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer([{"submission_id": job, "status": "RUNNING"} for job in dashboard.running])

            def do_POST(self):
                dashboard.running.remove(self.path.split("/")[-2])
                self.answer({"stopped": True})

            def answer(self, value):
                dashboard.asked.append((self.command, self.path, self.headers["Authorization"]))
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *what):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.facts = FACTS | {"dashboard_port": self.server.server_address[1], "rows": ROWS}
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(
    ("first", "busy", "answered", "reason"),
    [
        (0, 0, 0, None),
        (3599, 599, 299, None),
        (3600, 0, 0, "max_hours are over"),
        (0, 600, 0, "no job has run for long"),
        (0, 0, 300, "Ray's dashboard does not answer"),
    ],
)
def test_it_ends_the_cluster_when_it_is_idle_or_dead_or_too_old(first, busy, answered, reason):
    now = 10_000.0
    assert watchdog.why(FACTS, now - first, now - busy, now - answered, now) == reason


def test_the_user_may_have_it_wait_longer_for_a_job(files):
    assert watchdog.idle_s(FACTS) == 600
    (files / "own").mkdir()
    (files / "own" / "idle_s").write_text("900\n")
    assert watchdog.idle_s(FACTS) == 900


def test_its_first_look_is_remembered_when_it_is_started_again():
    first = watchdog.first_look()
    time.sleep(0.01)
    assert watchdog.first_look() == first


def test_jobs_are_asked_to_end_with_the_token_and_waited_for(monkeypatch):
    monkeypatch.setattr(watchdog.time, "sleep", lambda seconds: None)
    with Dashboard("a", "b") as dashboard:
        watchdog.stop_jobs(dashboard.facts)
    assert [path for method, path, _ in dashboard.asked if method == "POST"] == ["/api/jobs/a/stop", "/api/jobs/b/stop"]
    assert dashboard.asked[-1][:2] == ("GET", "/api/jobs/")
    assert {token for _, _, token in dashboard.asked} == {"Bearer secret"}


def a_machine(ec2, cluster: str, kind: str, row: str = "spot") -> str:
    tags = {"vaeorch": cluster, "ray-node-type": kind, "ray-user-node-type": row}
    given = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
    made = ec2.run_instances(ImageId=IMAGE_OF_MOTO, MinCount=1, MaxCount=1, TagSpecifications=given)
    return made["Instances"][0]["InstanceId"]


def test_it_ends_the_workers_then_the_head_and_no_machine_of_others(monkeypatch):
    with account(monkeypatch) as ec2:
        head, *workers = [a_machine(ec2, "c", kind) for kind in ("head", "worker", "worker")]
        other = a_machine(ec2, "other", "worker")
        watchdog.end(FACTS)
        assert {one for one, state in states(ec2).items() if state != "terminated"} == {other}


def test_where_aws_refuses_the_head_shuts_itself_down(monkeypatch):
    ran = []
    monkeypatch.setattr(watchdog.subprocess, "run", lambda words, **how: ran.append(words))
    with account(monkeypatch) as ec2:
        a_machine(ec2, "c", "head")
        with (
            refusing(monkeypatch, "TerminateInstances", "UnauthorizedOperation"),
            pytest.raises(ClientError, match="Unauthorized"),
        ):
            watchdog.end(FACTS)
    assert ran == [["sudo", "-n", "shutdown", "-h", "now"]]


def test_it_watches_until_no_job_has_run_for_long_then_ends_all(monkeypatch):
    monkeypatch.setattr(watchdog, "LOOK_S", 0.0)
    monkeypatch.setattr(watchdog, "shift", lambda facts: None)
    with account(monkeypatch) as ec2, Dashboard() as dashboard:
        a_machine(ec2, "c", "head")
        watchdog.watch(dashboard.facts | {"idle_s": 0.05})
        assert set(states(ec2).values()) == {"terminated"}


def test_a_row_that_is_refused_keeps_what_it_has_and_the_next_one_is_used():
    assert watchdog.limits(ROWS, [], {"spot": 3, "on-demand": 0}) == ROWS
    assert watchdog.limits(ROWS, ["spot"], {"spot": 3, "on-demand": 0}) == {"spot": 3, "on-demand": 4}


def test_where_all_rows_are_refused_all_are_tried_again():
    assert watchdog.limits(ROWS, ["spot", "on-demand"], {"spot": 1, "on-demand": 0}) == ROWS


def test_the_launchers_file_says_what_ray_may_have_and_is_as_before_once_aws_refuses_nothing(monkeypatch, files):
    file = watchdog.LAUNCHER_FILE
    before = {"available_node_types": {row: {"max_workers": most, "kept": 1} for row, most in ROWS.items()}, "x": 1}
    file.write_text(json.dumps(before))
    facts, refused = FACTS | {"rows": ROWS}, ["spot"]
    monkeypatch.setattr(watchdog, "lately_refused", lambda facts: refused)
    with account(monkeypatch) as ec2:
        a_machine(ec2, "c", "worker", "spot")
        watchdog.shift(facts)
        now = json.loads(file.read_text())
        assert watchdog.limits_of(now, facts) == {"spot": 1, "on-demand": 4}
        assert file.stat().st_mode & 0o777 == 0o600
        refused.clear()
        watchdog.shift(facts)
    assert json.loads(file.read_text()) == before
