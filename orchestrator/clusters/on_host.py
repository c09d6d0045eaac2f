"""Looks after a cluster's Ray on one of its hosts. `ray_on_hosts` sends this text to the host's Python.

So it imports nothing but the standard library. It needs Linux. `obey` does one order and prints the answer. The
processes of a cluster are known by its mark, such as `vo-1a2b3c4d`: it is in their environment, and in the path of
Ray's folder, /tmp/MARK.
"""

import errno
import fcntl
import json
import os
import platform
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

ANSWER = "vaeorch-answer: "  # a login shell may print more
MARK = "VAEORCH_CLUSTER"
ENDING_S = 10.0  # for processes to end by themselves
KILLED_S = 10.0  # for killed ones to be gone
CONNECT_S = 10.0
START_S = 240.0  # for `ray start`
LEAST_S = 10.0  # for another attempt
LOOK_S = 10.0  # between looks whether a job runs
CREDENTIALS = "credentials"  # the copy of the user's file for buckets
OPEN_FILES = 65536
GET_ADDRESS = 0x8915  # SIOCGIFADDR: the address of a network interface
OUTSIDE = ("192.0.2.1", 9)  # an address that is nobody's; nothing is sent to it
NOT_THE_CLUSTERS = ("RAY_AUTH_TOKEN", "RAY_ADDRESS", "RAY_TMPDIR")  # they would beat what is set here
OF_THE_LOGIN = ("SSH_CLIENT", "SSH2_CLIENT", "SSH_CONNECTION", "SSH_AUTH_SOCK", "SSH_TTY")  # bash reads ~/.bashrc again
GCS, RAYLET = "gcs_server", "raylet"  # the processes of Ray's head and of each node


class Failed(Exception):
    """The order cannot be done, for the reason in its text."""


def obey(order):
    """Does an order, {"action": name, ...}, and prints the answer: what the action returns, or {"failed": reason}."""
    actions = {"check": check, "start": start, "nodes": nodes, "log": log, "stop": stop, "running": running}
    actions["stop_when_idle"] = stop_when_idle
    try:
        answer = actions[order["action"]](order)
    except (Failed, OSError) as error:
        answer = {"failed": str(error)}
    print(ANSWER + json.dumps(answer), flush=True)


def check(order):
    """What is there: the versions of Python and Ray, the host's address, and whether the cluster's Ray runs."""
    if sys.platform != "linux":
        raise Failed(f"runs {platform.system()}, but Ray's clusters need Linux.")
    answer = {"python": platform.python_version(), "address": own_address(order["host"]), **running(order)}
    try:
        import ray
    except Exception as error:
        cure = "Install vaeorch's packages there, or correct `python`."
        raise Failed(f"{sys.executable} cannot import ray ({type(error).__name__}: {error}). {cure}") from None
    return {**answer, "ray": ray.__version__}


def running(order):
    """Whether the processes of Ray are there without which a node is none."""
    needed = {GCS, RAYLET} if order["head"] else {RAYLET}
    return {"running": needed <= set(found(order["mark"]).values())}


def start(order):
    """Starts Ray's node, in place of what is left of an earlier one.

    On a busy machine Ray may give up while it waits for its own processes: then it is started again, for START_S
    altogether. A start that fails before there is a raylet has another reason.
    """
    deadline = time.monotonic() + START_S
    while True:
        refuse(order)
        shutil.rmtree(f"/tmp/{order['mark']}/r", ignore_errors=True)  # of an earlier start
        code = ray_start(order, deadline)
        if not code:
            return {}
        if not raylet_log(order).exists() or time.monotonic() > deadline:
            reason = "has failed" if code > 0 else f"has not ended within {START_S:g} s"
            raise Failed(f"`ray start` {reason}.{log_lines(order)}")


def refuse(order):
    """Ends what is left of an earlier start. Raises Failed where Ray cannot start."""
    left = end(order["mark"])
    if left:
        raise Failed(f"processes {left} of an earlier start do not end. End them by hand.")
    for port in order["own_ports"]:
        refuse_taken(port)
    if order["head_address"]:
        refuse_unreachable(*order["head_address"])


def ray_start(order, deadline):
    """The exit code of `ray start`; negative where it was killed because it takes too long."""
    scratch, folder = private_folder(f"/tmp/{order['mark']}"), Path(order["folder"]).expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    allow_open_files()
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", *order["options"], f"--temp-dir={scratch}/r"]
    with start_log(order).open("wb") as file:
        how = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file, "env": environment(order, folder, scratch)}
        with subprocess.Popen(words, start_new_session=True, **how) as process:
            try:
                return process.wait(max(LEAST_S, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()


def allow_open_files():
    """Ray needs more than the usual 1024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most), most))


def environment(order, folder, scratch):
    """The environment of Ray's processes, and of all that they start."""
    own = {name: value for name, value in os.environ.items() if name not in NOT_THE_CLUSTERS + OF_THE_LOGIN}
    programs = os.path.dirname(sys.executable)
    own.update(order["environment"])
    own.update(
        {
            MARK: order["mark"],
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "TMPDIR": str(scratch),
            "PATH": f"{programs}:{own.get('PATH', os.defpath)}",
        }
    )
    if (folder / CREDENTIALS).exists():
        own["AWS_SHARED_CREDENTIALS_FILE"] = str(folder / CREDENTIALS)
    if interface := interface_of(order["address"]):  # else they may take the one of another address of the host's name
        own.setdefault("GLOO_SOCKET_IFNAME", interface)
        own.setdefault("NCCL_SOCKET_IFNAME", interface)
    return own


def nodes(order):
    """Waits for `seconds` at most until Ray's nodes at all `addresses` are alive: the addresses of those that are."""
    deadline, alive, reason = time.monotonic() + order["seconds"], [], ""
    while True:
        try:
            alive, reason = alive_nodes(order), ""
        except (OSError, ValueError, KeyError) as error:
            reason = f"{type(error).__name__}: {error}"
        if set(order["addresses"]) <= set(alive) or time.monotonic() > deadline:
            return {"alive": alive, "reason": reason}
        time.sleep(0.3)


def alive_nodes(order):
    """The addresses of the nodes that are alive, as Ray's dashboard says. Raises OSError, ValueError, KeyError."""
    known = asked(order, "/api/v0/nodes?limit=10000")["data"]["result"]["result"]
    return [node["node_ip"] for node in known if node["state"] == "ALIVE"]


def asked(order, path):
    """What Ray's dashboard on this host answers. Raises OSError and ValueError."""
    secret = (Path(order["folder"]).expanduser() / "token").read_text().strip()
    url = f"http://127.0.0.1:{order['dashboard_port']}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(request, timeout=10) as answer:
        return json.load(answer)


def log(order):
    return {"lines": log_lines(order)}


def log_lines(order):
    """The ends of the logs that tell why Ray did not start, without addresses in its code: on lines of their own."""
    lines = []
    for file in (start_log(order), raylet_log(order)):
        with suppress(OSError):
            text = [
                line for line in file.read_text(errors="replace").splitlines() if line.strip() and "(+0x" not in line
            ]
            lines += [f"{file.name}: {line}" for line in text[-order["log_lines"] :]]
    return "".join(f"\n  {line}" for line in lines)


def raylet_log(order):
    return Path(f"/tmp/{order['mark']}/r/session_latest/logs/raylet.out")


def start_log(order):
    """The file with what `ray start` has said; hosts may share their home folder."""
    return Path(order["folder"]).expanduser() / f"start-{socket.gethostname()}.log"


def stop(order):
    """Ends the cluster's processes here and removes its folders: the processes that are left."""
    left = end(order["mark"])
    if not left:
        shutil.rmtree(f"/tmp/{order['mark']}", ignore_errors=True)
        shutil.rmtree(Path(order["folder"]).expanduser(), ignore_errors=True)
    return {"left": left}


def stop_when_idle(order):
    """Leaves a process behind that stops the cluster here once no job has run for `idle_s`."""
    own = {name: value for name, value in order.items() if name != "source"}
    text = f"{order['source']}\n\nwait_until_idle({own!r})\n"
    devices = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, "-c", text], start_new_session=True, **devices)
    return {}


def wait_until_idle(order):
    """Ends when the cluster does, however that comes about. A dashboard that does not answer has no job."""
    idle_since = time.monotonic()
    while found(order["mark"]):
        if has_job(order):
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since >= order["idle_s"]:
            stop(order)
            return
        time.sleep(LOOK_S)


def has_job(order):
    try:
        return any(job["status"] in ("PENDING", "RUNNING") for job in asked(order, "/api/jobs/"))
    except (OSError, ValueError, KeyError):
        return False


def end(mark):
    """Ends all processes of the cluster: at first they are asked to, then killed. Returns those that are left.

    The head's gcs_server comes last, as the others take their leave of it. It has nothing to save.
    """
    kill_at = time.monotonic() + ENDING_S
    asked = set()
    while left := found(mark):
        if time.monotonic() > kill_at + KILLED_S:
            break
        others = {process for process, name in left.items() if name != GCS}
        killed = not others or time.monotonic() > kill_at
        for process in (others or set(left)) if killed else others - asked:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if killed else signal.SIGTERM)
        asked |= others
        time.sleep(0.1)
    return sorted(left)


def found(mark):
    """Process id -> name, of this user's processes of the cluster: those with its mark, and all that they started."""
    parents, names, marked = {}, {}, set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            process, text = int(folder.name), (folder / "stat").read_text()
            state, parent = text.rpartition(")")[2].split()[:2]
            if state not in "ZX" and folder.stat().st_uid == os.getuid():
                parents[process] = int(parent)
                names[process] = text.partition("(")[2].rpartition(")")[0]
                if has_mark(folder, mark.encode()):
                    marked.add(process)
    ours = lineage(os.getpid(), parents)
    return {each: names[each] for each in parents if lineage(each, parents) & marked and each not in ours}


def has_mark(folder, mark):
    arguments = (folder / "cmdline").read_bytes()
    if mark in arguments.split(b"\0") or b"/tmp/%s/" % mark in arguments:
        return True
    return b"%s=%s\0" % (MARK.encode(), mark) in (folder / "environ").read_bytes()


def lineage(process, parents):
    """A process, its parent, and so on."""
    line = set()
    while process in parents and process not in line:
        line.add(process)
        process = parents[process]
    return line


def private_folder(path):
    """A folder that only this user may enter. Raises Failed where somebody else has made it."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    state = os.lstat(path)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        raise Failed(f"{path} belongs to somebody else. Remove it.")
    os.chmod(path, 0o700)
    return path


def refuse_taken(port):
    """Raises Failed if another program listens on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            cure = "Perhaps it is another Ray. End it, or choose another `ray_port` and `dashboard_port`."
            raise Failed(f"another program uses port {port} there. {cure}") from None


def refuse_unreachable(host, port):
    """Raises Failed if no connection to the head's Ray can be made."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        cure = "Open the ports between the hosts, all of them: Ray uses many."
        raise Failed(f"cannot reach the head's Ray at {host}:{port} ({error}). {cure}") from None


def own_address(host):
    """The IPv4 address by which the other hosts reach this one: what its name in the cluster file stands for here.

    Where that is none of its own, as with a name from ~/.ssh/config, the one that SSH came to.
    """
    candidates = []
    with suppress(OSError):
        candidates = [each[4][0] for each in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)]
    candidates += os.environ.get("SSH_CONNECTION", "").split()[2:3]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(OUTSIDE)
        candidates.append(probe.getsockname()[0])
    for address in candidates:
        if is_own(address):
            return address
    raise Failed("has no IPv4 address that others can reach. Name it by its address in the cluster file.")


def is_own(address):
    """Whether an address is this host's, and not of its loopback interface."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind((address, 0))
        return not address.startswith("127.")
    return False


def interface_of(address):
    """The network interface whose first address this is; None if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                given = fcntl.ioctl(probe, GET_ADDRESS, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(given[20:24]) == address:
                    return name
    return None
