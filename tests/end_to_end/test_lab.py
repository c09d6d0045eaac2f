"""A lab's machines are separate from each other and from this one, and end with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.lab import Lab, unavailable
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.host("one")
        lab.host("two", disk_mib=5)
        yield lab


def test_each_machine_has_its_own_name_address_processes_and_folders(lab):
    one, two = lab.hosts["one"], lab.hosts["two"]
    one.run("sleep 9999 > /dev/null 2>&1 & touch /tmp/here /dev/shm/here /etc/here")
    assert (one.run("hostname"), two.run("hostname")) == ("one\n", "two\n")
    assert two.run("ps -e | grep -c sleep; ls -d /tmp/* /dev/shm/* /etc/here 2>/dev/null; true") == "0\n"
    assert one.run("getent ahostsv4 two").split()[0] == two.address
    assert not Path("/etc/here").exists()


def test_the_network_leads_nowhere(lab):
    laptop = lab.run(["ip", "-brief", "address"]).stdout.splitlines()
    assert {line.split()[0].partition("@")[0] for line in laptop} == {"lo", "lan", "port2", "port3"}
    assert lab.run(["ip", "route", "get", "192.0.2.1"]).returncode
    names = lab.hosts["one"].run("ip -brief address | cut -d' ' -f1").split()
    assert [name.partition("@")[0] for name in names] == ["lo", "eth0"]


def test_machines_see_the_project_and_its_python_and_cannot_change_them(lab):
    mark = f"mark-{os.getpid()}"
    lab.hosts["one"].run(f"touch {ROOT}/{mark} 2>/dev/null; true")
    assert not (ROOT / mark).exists()
    assert lab.hosts["one"].run(f"cat {ROOT}/pyproject.toml") == (ROOT / "pyproject.toml").read_text()
    version = lab.hosts["one"].run(f"{sys.executable} -c 'import sys, ray; print(sys.version)'")
    assert version == f"{sys.version}\n"


def test_a_disk_is_as_large_as_said_outlives_a_loss_of_power_and_not_the_machine(lab):
    two = lab.hosts["two"]
    two.run("echo kept > /var/kept; head -c 9M /dev/zero > /var/large 2> /dev/null; true")
    assert int(two.run("stat -c %s /var/large")) < 5 * 2**20
    two.kill()
    two.start()
    assert two.run("cat /var/kept") == "kept\n"
    two.kill()
    two.start(new=True)
    assert two.run("ls /var/kept 2>/dev/null; true") == ""


def test_a_program_on_the_laptop_has_this_disk_and_the_labs_home(lab, tmp_path):
    (tmp_path / "file").write_text("here")
    answer = lab.run(["sh", "-c", "cat file; echo $HOME ~root $WORD"], env={"WORD": "w"}, cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (0, f"here{lab.home} {lab.home} w\n")


LAB = """
import sys, time
from pathlib import Path
from tests.support.lab import Lab
with Lab(Path(sys.argv[1])) as lab:
    lab.popen(["sleep", "9999"])
    print(lab.keeper, lab.host("one").pid, flush=True)
    time.sleep(600)
"""


def test_nothing_of_a_lab_is_left_when_its_process_is_killed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", LAB, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        folders = [Path("/proc", number) for number in process.stdout.readline().split()]
        assert len(folders) == 2 and all(folder.exists() for folder in folders)
        process.kill()
    until(lambda: not any(folder.exists() for folder in folders))
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
