"""Commands, files and tunnels over real SSH, between machines of a lab."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.clusters import openssh
from orchestrator.clusters.openssh import Call, HostError, NoSuchFolder, Remote, run_all, secret_command
from orchestrator.errors import UserError
from tests.support.lab import Lab, unavailable
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.host("gpu1")
        lab.host("gpu2", disk_mib=20)
        yield lab


@pytest.fixture(autouse=True)
def on_laptop(lab):
    with lab.on_laptop():
        yield


@pytest.fixture
def gpu1(tmp_path) -> Remote:
    return Remote("gpu1", user=None, port=None, key=None, state=tmp_path)


@pytest.fixture
def gpu2(gpu1) -> Remote:
    return replace(gpu1, host="gpu2")


def connections(state: Path) -> int:
    """How many processes of ssh work for the cluster of this state folder."""
    found = 0
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += f"{state}/known_hosts" in file.read_text()
        except OSError:
            continue  # it has ended
    return found


def test_a_command_gets_its_input_and_returns_its_output_and_exit_code(gpu1):
    answer = gpu1.run('cat; hostname; echo ~ "it\'s" >&2; exit 3', b"in\0put\n")
    assert (answer.returncode, answer.stdout, answer.stderr[-11:]) == (3, b"in\0put\ngpu1\n", b"/root it's\n")


def test_what_the_users_configuration_says_of_a_host_applies(gpu1, lab):
    config = lab.home / ".ssh" / "config"
    config.write_text("Host big\n  HostName gpu1\n  RemoteCommand false\n  LogLevel QUIET\n")
    try:
        assert replace(gpu1, host="big").run("hostname").stdout == b"gpu1\n"
        config.write_text("NoSuchOption yes\n")
        with pytest.raises(HostError, match=r"gpu1: ssh does not understand your ~/\.ssh/config"):
            gpu1.run("true")
    finally:
        config.unlink()


def test_user_port_and_key_of_the_cluster_are_used(gpu1, lab):
    options = replace(gpu1, user="me", port=2222, key="~/.ssh/id_ed25519").options()
    assert options[-8:] == [
        "-l",
        "me",
        "-p",
        "2222",
        "-i",
        str(lab.home / ".ssh/id_ed25519"),
        "-o",
        "IdentitiesOnly=yes",
    ]


def test_a_host_key_is_noted_for_the_cluster_alone(gpu1, lab):
    gpu1.run("true")
    assert (gpu1.state / "known_hosts").read_text().count(" ssh-ed25519 ") == 1
    assert (gpu1.state / "known_hosts").stat().st_mode & 0o777 == 0o600
    assert not (lab.home / ".ssh" / "known_hosts").exists()


def test_a_host_key_that_changes_is_refused_with_a_line_to_forget_it(gpu2, lab):
    gpu2.run("true")
    lab.hosts["gpu2"].kill()
    lab.hosts["gpu2"].start(new=True)
    with pytest.raises(HostError) as refused:
        gpu2.run("true")
    (line,) = refused.value.lines
    assert line.startswith("gpu2: has another host key than before")
    subprocess.run(shlex.split(line.rpartition(": ")[2]), check=True, capture_output=True)
    assert gpu2.run("true").returncode == 0


def test_a_key_that_the_host_does_not_know_is_told(gpu1, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    with pytest.raises(HostError, match="gpu1: refuses the login .*Permission denied.*`key`"):
        replace(gpu1, key=str(tmp_path / "other")).run("true")


def test_hosts_that_cannot_be_reached_are_told_at_once_with_the_reason(gpu1, lab, monkeypatch):
    with pytest.raises(HostError, match="gpu9: has no address .*Could not resolve"):
        replace(gpu1, host="gpu9").run("true")
    with pytest.raises(HostError, match="gpu1: cannot be reached .*Connection refused"):
        replace(gpu1, port=23).run("true")
    monkeypatch.setitem(openssh.OPTIONS, "ConnectTimeout", 1)
    lab.cut(lab.hosts["gpu1"])
    try:
        with pytest.raises(HostError, match=r"gpu1: cannot be reached .*(timed out|No route)"):
            gpu1.run("true")
    finally:
        lab.heal(lab.hosts["gpu1"])
    assert gpu1.run("true").returncode == 0


def test_a_connection_that_is_cut_in_the_middle_is_noticed(gpu1, lab, monkeypatch):
    monkeypatch.setitem(openssh.OPTIONS, "ServerAliveInterval", 1)
    threading.Timer(1, lab.cut, [lab.hosts["gpu1"]]).start()
    try:
        with pytest.raises(HostError, match="gpu1: was lost"):
            gpu1.run("sleep 600")
    finally:
        lab.heal(lab.hosts["gpu1"])


def test_a_program_that_is_missing_there_is_named(gpu1):
    with pytest.raises(HostError, match=r"gpu1: a program is missing there .*nowhere/python: not found"):
        gpu1.run("/nowhere/python")


def test_a_command_that_takes_too_long_is_given_up(gpu1):
    with pytest.raises(HostError, match="gpu1: has not answered within 1 s"):
        gpu1.run("sleep 600", timeout=1)
    assert connections(gpu1.state) == 0


def test_many_hosts_answer_each_for_itself(gpu1, gpu2):
    calls = [Call(gpu1, "cat", b"one"), Call(replace(gpu1, host="gpu9"), "true"), Call(gpu2, "hostname")]
    one, nine, two = run_all(calls)
    assert (one.stdout, str(nine)[:5], two.stdout) == (b"one", "gpu9:", b"gpu2\n")


def test_ctrl_c_ends_the_connections_at_once(gpu1, gpu2):
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        run_all([Call(gpu1, "sleep 600"), Call(gpu2, "sleep 600")])
    assert connections(gpu1.state) == 0


def test_a_secret_is_readable_by_its_owner_alone_and_in_no_command_line(gpu1):
    gpu1.run("umask 0; mkdir -p ~/keys; echo old > ~/keys/open; chmod 666 ~/keys/open")
    for path in ("~/keys/new one", "~/keys/deep/er", "~/keys/open", "/etc/secret"):
        gpu1.put_secret(b"s3cr\0t\n", path)
        shown = gpu1.run(f"stat -c %a {openssh.quoted(path)}; cat {openssh.quoted(path)}")
        assert shown.stdout == b"600\ns3cr\0t\n"
    assert gpu1.run("stat -c %a ~/keys/deep").stdout == b"700\n"
    assert gpu1.run("ls ~/keys").stdout == b"deep\nnew one\nopen\n"
    assert "s3cr" not in secret_command(b"s3cr\0t\n", "~/keys/open")


def test_half_a_secret_replaces_none(gpu1):
    gpu1.put_secret(b"whole", "~/secret")
    assert gpu1.run(secret_command(b"another", "~/secret"), b"ano").returncode == 1
    assert gpu1.run("cat ~/secret*").stdout == b"whole"


def test_a_secret_that_cannot_be_written_is_told(gpu1):
    with pytest.raises(HostError, match=r"gpu1: /proc/none/secret cannot be written there: .*mkdir"):
        gpu1.put_secret(b"x", "/proc/none/secret")


@pytest.mark.parametrize("there", ["~/runs/plain", '/srv/o\'brien & co/a "b" $c', "~/with space"])
def test_a_folder_goes_there_and_comes_back(gpu1, tmp_path, there):
    (tmp_path / "here" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "deep" / "a file").write_bytes(b"\0" * 100_000)
    (tmp_path / "here" / "lock").write_text("")
    gpu1.push(tmp_path / "here", there, exclude=["lock"])
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "own").write_text("stays")
    gpu1.run(f"echo > {openssh.quoted(there)}/sent-1")
    gpu1.pull(there, tmp_path / "back", exclude=["sent-*"])
    assert sorted(path.name for path in (tmp_path / "back").rglob("*")) == ["a file", "deep", "own"]
    assert (tmp_path / "back" / "deep" / "a file").read_bytes() == b"\0" * 100_000


def test_a_file_goes_to_its_place(gpu1, tmp_path):
    (tmp_path / "wheel").write_text("code")
    gpu1.push(tmp_path / "wheel", "~/new/folder/vaeorch.whl")
    assert gpu1.run("cat ~/new/folder/vaeorch.whl").stdout == b"code"


def test_a_file_that_does_not_fit_there_does_not_replace_the_old_one(gpu2, tmp_path):
    (tmp_path / "small").write_text("old")
    (tmp_path / "large").write_bytes(os.urandom(2**20) * 40)
    gpu2.push(tmp_path / "small", "~/little/file")
    with pytest.raises(HostError, match="gpu2: .*No space left on device"):
        gpu2.push(tmp_path / "large", "~/little/file")
    assert gpu2.run("cat ~/little/file; ls -A ~/little").stdout == b"oldfile\n"


def test_a_copy_that_is_interrupted_leaves_no_half_file(gpu1, tmp_path):
    gpu1.run("mkdir ~/big; truncate -s 20G ~/big/checkpoint.pt")  # takes no room there
    into = tmp_path / "into"

    def interrupt() -> None:
        until(lambda: into.is_dir() and any(file.stat().st_size for file in into.iterdir()))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        gpu1.pull("~/big", into)
    assert list(into.iterdir()) == []
    gpu1.run("rm -r ~/big")


def test_a_folder_that_is_not_there_is_told(gpu1, tmp_path):
    with pytest.raises(NoSuchFolder, match="gpu1: a copy has failed: .*/none.*No such file"):
        gpu1.pull("~/none", tmp_path / "into")


def test_a_copy_from_a_host_that_cannot_be_reached_is_told(gpu1, tmp_path):
    with pytest.raises(HostError, match="gpu1: cannot be reached .*Connection refused"):
        replace(gpu1, port=23).pull("~/runs", tmp_path / "into")


def test_a_host_without_rsync_is_told(gpu1, lab, tmp_path):
    lab.hosts["gpu1"].run("mv /usr/bin/rsync /usr/bin/hidden")
    try:
        with pytest.raises(HostError, match="gpu1: rsync is not installed there. Install it"):
            gpu1.pull("~/", tmp_path / "into")
    finally:
        lab.hosts["gpu1"].run("mv /usr/bin/hidden /usr/bin/rsync")


def test_programs_that_are_missing_on_this_machine_are_told(gpu1, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="ssh is not installed on this machine"):
        gpu1.run("true")
    with pytest.raises(UserError, match="ssh is not installed on this machine"), gpu1.tunnel(80):
        pass
    with pytest.raises(UserError, match="rsync is not installed on this machine"):
        gpu1.pull("~/", tmp_path / "into")


@pytest.fixture(scope="module")
def page(lab) -> int:
    """The port of a web server on gpu1 that listens on loopback only; it serves `hello`."""
    host = lab.hosts["gpu1"]
    host.run("mkdir -p /srv/web; echo hello > /srv/web/page")
    host.run("cd /srv/web; nohup python3 -m http.server --bind 127.0.0.1 8000 > /dev/null 2>&1 &")
    until(lambda: host.run("ss -Htln sport = 8000"))
    return 8000


def fetched(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=30) as answer:
        return answer.read()


def test_a_tunnel_leads_to_the_loopback_of_the_host_and_ends_with_its_context(gpu1, page):
    with gpu1.tunnel(page) as tunnel, gpu1.tunnel(page) as other:
        assert fetched(tunnel.port) == fetched(other.port) == b"hello\n"
        assert tunnel.alive()
    assert not tunnel.alive()
    with pytest.raises(OSError):
        fetched(tunnel.port)


def test_a_tunnel_whose_host_dies_is_not_alive(gpu2, lab, monkeypatch):
    monkeypatch.setitem(openssh.OPTIONS, "ServerAliveInterval", 1)
    with gpu2.tunnel(22) as tunnel:
        lab.hosts["gpu2"].kill()
        until(lambda: not tunnel.alive())
    lab.hosts["gpu2"].start()


def test_a_tunnel_that_cannot_be_opened_is_told(gpu1):
    with pytest.raises(HostError, match="gpu1: cannot be reached"), replace(gpu1, port=23).tunnel(80):
        pass


TUNNEL = """
import sys, time
from pathlib import Path
from orchestrator.clusters.openssh import Remote
with Remote("gpu1", None, None, None, Path(sys.argv[1])).tunnel(22):
    print("open", flush=True)
    time.sleep(600)
"""


def test_a_tunnel_does_not_outlive_a_process_that_is_killed(gpu1, tmp_path):
    with subprocess.Popen([sys.executable, "-c", TUNNEL, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        assert connections(tmp_path) == 1
        process.kill()
    until(lambda: connections(tmp_path) == 0)
