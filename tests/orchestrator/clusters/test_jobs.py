"""Jobs on a real Ray head that asks for a token: exit codes, logs, and what a job is given."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.clusters.jobs import Jobs, NoJob, package
from orchestrator.errors import UserError
from tests.support import ROOT
from tests.support.ray_heads import Head, ray_head
from tests.support.tunnels import Tunnel

NEVER = None  # for a connection that is not lost


@pytest.fixture(scope="module")
def head():
    with ray_head(RAY_JOB_STOP_WAIT_TIME_S="120") as head:
        yield head


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    return package(tmp_path_factory.mktemp("staging"))


@pytest.fixture
def jobs(head: Head) -> Jobs:
    return Jobs(head.address, head.token_file)


def python(code: str, *words) -> str:
    """The command line that runs a program with this machine's Python."""
    return shlex.join([sys.executable, "-c", code, *map(str, words)])


LOOK = "import os, orchestrator, trainables as t; print(sorted(os.listdir()), t.__file__.startswith(os.getcwd()))"
TOGETHER = {
    "killed": (f"exec {python('import os; os.kill(os.getpid(), 9)')}", {}, None),
    "code": (f"{sys.executable} -m orchestrator --version && {python(LOOK)}", {}, None),
    "bytes": (python("print('\\udcff'); print('after')"), {}, None),
    "settings": (
        python("import os; print(os.environ['VAEORCH_CACHE'], 'RAY_AUTH_TOKEN' in os.environ)"),
        {"VAEORCH_CACHE": "/there"},
        None,
    ),
    "pinned": ("echo here", {}, {"node:__internal_head__": 0.001}),
}
"""Jobs that end by themselves with whole lines, each with its command line, settings and resources."""


@pytest.fixture(scope="module")
def submitted(head: Head, code: Path) -> None:
    """The jobs of TOGETHER. Each takes seconds to start, and none waits for another."""
    jobs = Jobs(head.address, head.token_file)
    for name, (words, settings, resources) in TOGETHER.items():
        jobs.submit(name, words, code, settings, resources)


def program(text: str, folder: Path, *words) -> str:
    """The same for a program of several lines, which is put into the folder."""
    file = folder / "program.py"
    file.write_text(text, encoding="utf-8")
    return shlex.join([sys.executable, *map(str, (file, *words))])


def of_driver(lines: list[str]) -> list[str]:
    """Those that are not Ray's own; a quick driver's first lines come before Ray's."""
    return [line for line in lines if "job_manager.py" not in line and not line.startswith("Running entrypoint")]


def ended(jobs: Jobs, job_id: str) -> list[str]:
    """The lines of the driver, once the job has ended."""
    return of_driver(list(jobs.follow(job_id, NEVER)))


def test_the_exit_code_is_the_drivers_own_and_a_job_that_ended_gives_its_whole_log(jobs, code):
    jobs.submit("seven", python("print('one'); print('two', end=''); raise SystemExit(7)"), code, {})
    assert ended(jobs, "seven") == ["one", "two"]
    status, exit_code, message = jobs.status("seven")
    assert (status, exit_code) == ("FAILED", 7)
    assert "exit code 7" in message
    assert ended(jobs, "seven") == ["one", "two"]
    assert jobs.logs("seven").endswith("one\ntwo")
    [listed] = [job for job in jobs.list() if job.id == "seven"]
    assert listed.state == jobs.status("seven")
    assert 0 < listed.started <= listed.ended


def test_a_driver_that_a_signal_killed_has_the_exit_code_of_shells(jobs, submitted):
    assert ended(jobs, "killed") == []
    assert jobs.status("killed").exit_code == 137


@pytest.mark.parametrize("ask", [Jobs.check, Jobs.list, lambda jobs: jobs.submit("wrong", "true", Path("/"), {})])
def test_a_wrong_token_is_told_after_one_request(head, tmp_path, ask):
    file = tmp_path / "token"
    file.write_text("0" * 64)
    with (
        Tunnel(head.port) as tunnel,
        pytest.raises(UserError, match=f"^{file}: is not the token of the Ray at {tunnel.address}. Use the token"),
    ):
        ask(Jobs(tunnel.address, file))
    assert tunnel.connections == 1


def test_a_missing_token_is_told_after_one_request(head):
    with Tunnel(head.port) as tunnel, pytest.raises(UserError, match="was given none. Name its file.$"):
        Jobs(tunnel.address, None).check()
    assert tunnel.connections == 1


def test_the_right_token_gives_the_version(jobs):
    assert jobs.check() == "2.60.0"


def test_a_job_that_is_not_there_is_told(jobs):
    with pytest.raises(NoJob, match="Job nobody does not exist"):
        list(jobs.follow("nobody", NEVER))
    with pytest.raises(NoJob, match="Job nobody does not exist"):
        jobs.stop("nobody")


TALK = """
import sys, time, pathlib
log = pathlib.Path("/proc/self/fd/1").resolve()
while "Running entrypoint" not in log.read_text():  # of Ray, which else may come into the midst of a line
    time.sleep(0.1)
for line in range(30):
    print(line, "x" * 3000 * (line % 9), flush=True)
sys.stdout.write("one line ")
sys.stdout.flush()
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.1)
print("in two parts")
print("é\\n\\nend")
"""


def test_lines_come_whole_and_once_when_the_tunnel_is_cut(head, code, tmp_path):
    """The driver goes on only after the cut."""
    gate, tunnels = tmp_path / "gate", [Tunnel(head.port)]
    jobs = Jobs(tunnels[0].address, head.token_file)

    def reopen() -> str:
        tunnels.append(Tunnel(head.port))
        return tunnels[-1].address

    jobs.submit("talk", program(TALK, tmp_path, gate), code, {})
    seen = []
    for line in jobs.follow("talk", reopen):
        seen.append(line)
        if line.startswith(("13 ", "29 ")):
            tunnels[-1].cut()
            gate.touch() if line.startswith("29 ") else None
    tunnels[-1].cut()
    said = [f"{line} {'x' * 3000 * (line % 9)}" for line in range(30)]
    assert of_driver(seen) == [*said, "one line in two parts", "é", "", "end"]
    assert len(seen) == len(of_driver(seen)) + 2
    assert len(tunnels) >= 3
    assert jobs.server.address == tunnels[-1].address


def test_a_job_that_is_submitted_twice_runs_once(jobs, code, tmp_path, monkeypatch):
    """Also where the first attempt is still unknown when the second comes."""
    runs, known = tmp_path / "runs", jobs._known
    words = python("import sys; open(sys.argv[1], 'a').write('run ')", runs)
    jobs.submit("twice", words, code, {})
    jobs.submit("twice", words, code, {})
    answers = [None]
    monkeypatch.setattr(jobs, "_known", lambda job_id: answers.pop() if answers else known(job_id))
    jobs.submit("twice", words, code, {})
    assert not answers
    with pytest.raises(UserError, match="^twice: this job is there already, with another command: "):
        jobs.submit("twice", "true", code, {})
    assert ended(jobs, "twice") == []
    assert runs.read_text() == "run "


ENDING = """
import pathlib, signal, sys, time
def handler(*_):
    time.sleep(5)
    pathlib.Path(sys.argv[1]).write_text("to its end")
    sys.exit(143)
signal.signal(signal.SIGTERM, handler)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_stopped_driver_ends_by_itself(jobs, code, tmp_path):
    """It takes longer than the three seconds after which Ray kills it by default."""
    file = tmp_path / "file"
    jobs.submit("long", program(ENDING, tmp_path, file), code, {})
    lines = jobs.follow("long", NEVER)
    assert "ready" in lines
    state = jobs.stop("long")
    assert file.read_text() == "to its end"
    assert (state.status, state.exit_code) == ("STOPPED", 143)
    assert list(lines) == []
    assert jobs.stop("long") == state


def test_ctrl_c_detaches_and_says_nothing_of_its_own(jobs, code, tmp_path, capfd):
    """The job goes on."""
    jobs.submit("attached", program(ENDING.replace("sleep(5)", "sleep(0)"), tmp_path, tmp_path / "file"), code, {})
    lines = jobs.follow("attached", NEVER)
    assert "ready" in lines
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        next(lines)
    assert jobs.status("attached").status == "RUNNING"
    assert jobs.stop("attached").exit_code == 143
    assert capfd.readouterr() == ("", "")


def test_a_job_is_stopped_before_its_driver_has_started(jobs, code, tmp_path):
    jobs.submit("early", python("import time; time.sleep(600)"), code, {})
    assert jobs.stop("early").exit_code == 143


def test_our_packages_run_in_the_job_and_nothing_else_is_there(jobs, submitted):
    assert ended(jobs, "code") == [
        "vaeorch, version 0.1.0",
        "['orchestrator', 'trainables', 'vaeorch-0.1.0.dist-info'] True",
    ]


def test_a_name_that_is_no_unicode_hides_nothing_after_it(jobs, submitted):
    assert ended(jobs, "bytes") == ["\\udcff", "after"]


def test_settings_reach_the_driver_and_secrets_are_refused(jobs, code, submitted):
    with pytest.raises(ValueError, match="^AWS_SECRET_ACCESS_KEY: "):
        jobs.submit("secret", "true", code, {"AWS_SECRET_ACCESS_KEY": "s3cret"})
    assert "secret" not in [job.id for job in jobs.list()]
    assert ended(jobs, "settings") == ["/there False"]


def test_a_job_can_be_pinned_to_a_node_by_its_resource(jobs, submitted):
    assert ended(jobs, "pinned") == ["here"]


def test_equal_code_is_uploaded_once_from_a_checkout_and_from_an_installed_wheel(code, tmp_path):
    from ray._private.runtime_env.packaging import get_uri_for_directory

    installed = tmp_path / "site-packages"
    subprocess.run(["cp", "-r", ROOT / "orchestrator", ROOT / "trainables", installed.parent / "."], check=True)
    installed.mkdir()
    for name in ("orchestrator", "trainables"):
        (tmp_path / name).rename(installed / name)
        (installed / name / "notes.txt").write_text("not code")
    program = "import sys, orchestrator.clusters.jobs as j, pathlib; print(j.__file__, j.package(pathlib.Path('s')))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(installed / "orchestrator/clusters/jobs.py"), "s/code"], done.stderr
    uris = {get_uri_for_directory(str(folder), include_gitignore=True) for folder in (code, tmp_path / "s" / "code")}
    assert len(uris) == 1


def test_the_package_is_small_and_holds_python_files_alone(code):
    files = [path for path in code.rglob("*") if path.is_file()]
    assert sum(file.stat().st_size for file in files) < 3 * 2**20  # the code itself has two
    assert {file.suffix for file in files if file.name != "METADATA"} == {".py"}
    assert not [file for file in files if "__pycache__" in file.parts]
