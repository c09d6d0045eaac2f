"""Starts and ends Ray on hosts that are reached by SSH, for a record of kind `ssh`: `up`, `down` and `running`.

`up` gives each host the command `ray start` itself. Ray's cluster launcher would copy the private key to the head, not
check host keys, and leave Ray running on workers at the end. What is done on a host is in `on_host.py`.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.clusters import on_host
from orchestrator.clusters.local import ENVIRONMENT
from orchestrator.clusters.openssh import Call, HostError, Remote, last_line, quoted, run_all, secret_command
from orchestrator.clusters.state import TOKEN, changing, note_hosts, noted_hosts, token
from orchestrator.errors import UserError

START_S = 180  # for all nodes to be alive, on slow machines
MARGIN_S = 60.0  # for an answer, beyond the work on the host
LOG_LINES = 8  # of each log, shown where a host does not come up
OBJECT_STORE_BYTES = 512 * 2**20  # results and blocks of files; Ray's default takes a third of the memory
ON_CLUSTER = {
    "RAY_AUTH_MODE": "token",
    "RAY_JOB_STOP_WAIT_TIME_S": "120",  # for a driver to end in order; after Ray's 3 s it is killed
}


def up(record, state: Path, say: Callable[[str], None]) -> bool:
    """Has Ray running on all hosts, with one node on each that is alive. What runs already stays as it is.

    Returns whether the head's Ray was started.

    `state` is the cluster's folder on this machine. If it fails, or is interrupted, all that it started is ended.

    Raises UserError: what is wrong with each host, or which did not come up and how its log ends.
    """
    with changing(state):
        hosts = Hosts(record, state)
        facts = hosts.check()
        addresses = {host: fact["address"] for host, fact in facts.items()}
        fresh = not facts[record.head]["running"]
        lost = record.workers if fresh else hosts.lost(facts)
        if not fresh and not lost:
            return False
        begun = hosts.all if fresh else lost
        note_hosts(state, tuple(dict.fromkeys((*hosts.all, *noted_hosts(state)))))
        try:
            hosts.put_secret(TOKEN, token(state).encode(), begun)
            if record.credentials:
                hosts.put_secret(on_host.CREDENTIALS, credentials_of(record), begun)
            if fresh:
                say(f"Starting Ray on {record.head}.")
                hosts.start([record.head], addresses)
            if lost:
                say(f"Starting Ray on {', '.join(lost)}.")
                hosts.start(lost, addresses)
            hosts.wait(addresses)
        except BaseException:
            for problem in hosts.end(begun):
                say(f"Ray may still run there: {problem}")
            raise
        return fresh


def down(record, state: Path) -> list[HostError]:
    """Ends this cluster's processes on all its hosts, and those of no other. To be repeated until nothing is left.

    Jobs should have been stopped before: their drivers have ENDING_S to end. Returns, for each host that did not
    confirm that nothing is left, why.
    """
    with changing(state):
        hosts = Hosts(record, state)
        problems = hosts.end(hosts.noted)
        unsure = {problem.host for problem in problems}
        note_hosts(state, tuple(host for host in hosts.noted if host in unsure))
        return problems


def down_when_idle(record, state: Path, minutes: float) -> None:
    """Has the head end its Ray once no job has run for so long; the workers' Ray ends when it misses the head's.

    Raises UserError.
    """
    how = {"source": inspect.getsource(on_host), "idle_s": 60 * minutes}
    answer = Hosts(record, state).ask([record.head], "stop_when_idle", **how)[record.head]
    if isinstance(answer, HostError):
        raise answer


def credentials_of(record) -> bytes:
    """The content of the file of credentials. Raises UserError."""
    file = Path(record.credentials).expanduser()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"credentials: {file}: cannot be read: {error.strerror}.") from None


def running(record, state: Path) -> dict[str, bool | HostError]:
    """Whether this cluster's Ray runs, on each of its hosts; a HostError for one that cannot be asked."""
    hosts = Hosts(record, state)
    answers = hosts.ask(hosts.noted, "running")
    return {host: known if isinstance(known, HostError) else known["running"] for host, known in answers.items()}


@dataclass(frozen=True)
class Hosts:
    """The hosts of a cluster, which are asked all at the same time."""

    record: Any
    """Of kind `ssh`."""
    state: Path
    """The folder of the cluster on this machine."""

    @property
    def all(self) -> tuple[str, ...]:
        return (self.record.head, *self.record.workers)

    @property
    def noted(self) -> tuple[str, ...]:
        """Those of the record, and those that an earlier form of the record had when Ray was started."""
        return tuple(dict.fromkeys((*self.all, *noted_hosts(self.state))))

    @cached_property
    def mark(self) -> str:
        """Tells this cluster from others on the same hosts, also from those of the same name of other machines."""
        return f"vo-{hashlib.sha256(token(self.state).encode()).hexdigest()[:8]}"

    @property
    def folder(self) -> str:
        """The folder of the cluster on each host; `down` removes it."""
        return f"~/.local/state/vaeorch/{self.state.name}-{self.mark}"

    def remote(self, host: str) -> Remote:
        return Remote(host, self.record.user, self.record.port, self.record.key, self.state)

    def check(self) -> dict[str, dict]:
        """What each host has. Raises UserError, with a line for each problem of each host."""
        answers = self.ask(self.all, "check")
        problems = [str(answer) for answer in answers.values() if isinstance(answer, HostError)]
        facts = {host: answer for host, answer in answers.items() if not isinstance(answer, HostError)}
        if problems := problems + differences(facts):
            raise UserError(*problems)
        return facts

    def lost(self, facts: dict[str, dict]) -> list[str]:
        """The workers without a node, or with one that the head's Ray does not count as alive. Raises HostError."""
        answer = self.ask([self.record.head], "nodes", addresses=[], seconds=0)[self.record.head]
        if isinstance(answer, HostError):
            raise answer
        nodes = {host for host, fact in facts.items() if fact["running"] and fact["address"] in answer["alive"]}
        return [host for host in self.record.workers if host not in nodes]

    def put_secret(self, name: str, content: bytes, hosts: Iterable[str]) -> None:
        """Write a file of the cluster's folder on hosts, which only its owner may read. Raises UserError."""
        command = secret_command(content, f"{self.folder}/{name}")
        answers = run_all([Call(self.remote(host), command, content) for host in hosts])
        problems = [str(answer) for answer in answers if isinstance(answer, HostError)]
        for host, answer in zip(hosts, answers, strict=True):
            if not isinstance(answer, HostError) and answer.returncode:
                problems.append(f"{host}: its {name} cannot be written there: {last_line(answer.stderr)}")
        if problems:
            raise UserError(*problems)

    def start(self, hosts: Iterable[str], addresses: dict[str, str]) -> None:
        """Starts Ray on the head, or on workers once the head's runs. Raises UserError."""
        orders = {host: self.start_order(host, addresses) for host in hosts}
        answers = self._obeyed(orders, on_host.START_S + MARGIN_S)
        problems = [answer for answer in answers.values() if isinstance(answer, HostError)]
        if problems:
            raise UserError(*map(str, problems))

    def wait(self, addresses: dict[str, str]) -> None:
        """Waits until all nodes are alive. Raises UserError, with the end of the log of each that is not."""
        head = self.record.head
        wanted = {"addresses": list(addresses.values()), "seconds": START_S}
        answer = self.ask([head], "nodes", START_S + MARGIN_S, **wanted)[head]
        if isinstance(answer, HostError):
            raise answer
        missing = [host for host, address in addresses.items() if address not in answer["alive"]]
        if not missing:
            return
        logs = self.ask(missing, "log")
        reason = f" ({answer['reason']})" if answer["reason"] else ""
        raise UserError(
            *(
                f"{host}: Ray has not come up there within {START_S} s{reason}. Its logs end:"
                f"{'' if isinstance(log, HostError) else log['lines']}"
                for host, log in logs.items()
            )
        )

    def end(self, hosts: Iterable[str]) -> list[HostError]:
        """Ends the cluster's processes, on workers first. Returns why it is not certain that nothing is left."""
        workers = [host for host in hosts if host != self.record.head]
        problems = []
        for some in (workers, [host for host in hosts if host == self.record.head]):
            for host, answer in self.ask(some, "stop").items():
                if isinstance(answer, HostError):
                    problems.append(answer)
                elif answer["left"]:
                    cure = "End them by hand, then try again."
                    problems.append(HostError(host, f"its processes {answer['left']} do not end. {cure}"))
        return problems

    def ask(self, hosts: Iterable[str], action: str, timeout: float = MARGIN_S, **how) -> dict[str, Any]:
        """What hosts answer to the same order: an object of JSON, or a HostError."""
        return self._obeyed({host: self._order(host, action, **how) for host in hosts}, timeout)

    def _order(self, host: str, action: str, **how) -> dict[str, Any]:
        head = host == self.record.head
        common = {"action": action, "host": host.rpartition("@")[2], "head": head, "mark": self.mark}
        places = {"folder": self.folder, "dashboard_port": self.record.dashboard_port, "log_lines": LOG_LINES}
        return common | places | how

    def start_order(self, host: str, addresses: dict[str, str]) -> dict[str, Any]:
        record, head = self.record, host == self.record.head
        environment = ENVIRONMENT | ON_CLUSTER
        if head:
            environment |= {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{record.dashboard_port}"}
        how = {
            "address": addresses[host],
            "head_address": None if head else (addresses[record.head], record.ray_port),
            "options": start_options(record, host, addresses),
            "environment": environment,
            "own_ports": [record.ray_port, record.dashboard_port] if head else [],
        }
        return self._order(host, "start", **how)

    def _obeyed(self, orders: dict[str, dict], timeout: float) -> dict[str, Any]:
        """Has each host's Python do its order."""
        source = inspect.getsource(on_host)
        calls = []
        for host, order in orders.items():
            sign = f" {self.mark}" if order["action"] == "start" else ""  # so `stop` finds a start that goes on alone
            text = f"{source}\n\nobey(json.loads({json.dumps(order)!r}))\n"
            calls.append(Call(self.remote(host), f"exec {quoted(self.record.python)} -{sign}", text.encode()))
        return {host: self._answer(host, answer) for host, answer in zip(orders, run_all(calls, timeout), strict=True)}

    def _answer(self, host: str, answer) -> Any:
        if isinstance(answer, HostError):
            return answer
        lines = [line for line in answer.stdout.decode().splitlines() if line.startswith(on_host.ANSWER)]
        if not lines:
            said = last_line(answer.stderr) or f"exit code {answer.returncode}"
            return HostError(host, f"{self.record.python} has failed there: {said}. Correct `python`, or that.")
        told = json.loads(lines[-1].removeprefix(on_host.ANSWER))
        return HostError(host, told["failed"]) if "failed" in told else told


def start_options(record, host: str, addresses: dict[str, str]) -> list[str]:
    """The options of `ray start` on a host."""
    options = [
        f"--node-ip-address={addresses[host]}",
        "--disable-usage-stats",
        "--log-color=false",
        "--dashboard-agent-listen-port=0",  # any: Ray's default may be another Ray's
        f"--object-store-memory={OBJECT_STORE_BYTES}",
    ]
    if host == record.head:
        options += ["--head", f"--port={record.ray_port}", "--no-monitor"]  # there is nothing to scale
        options += ["--include-dashboard=true", "--dashboard-host=127.0.0.1"]
        options += [f"--dashboard-port={record.dashboard_port}"]
    else:
        options += [f"--address={addresses[record.head]}:{record.ray_port}"]
    idle = host == record.head and not record.train_on_head
    for name, amount in (("cpus", record.cpus), ("gpus", record.gpus)):
        if idle or amount is not None:
            options.append(f"--num-{name}={0 if idle else amount}")
    return options


def commands(record) -> str:
    """The command that starts Ray on each host, for the user; what only the host knows is in <...>."""
    hosts = (record.head, *record.workers)
    addresses = {host: f"<address of {host}>" for host in hosts}
    lines = (f"{host}: ray start {' '.join(start_options(record, host, addresses))}\n" for host in hosts)
    return "".join(lines)


def differences(facts: dict[str, dict]) -> list[str]:
    """What keeps hosts from being nodes of one Ray: other versions, or one machine under two names."""
    problems, first = [], next(iter(facts), None)
    for host, fact in facts.items():
        for what, name in (("python", "Python"), ("ray", "Ray")):
            if fact[what] != facts[first][what]:
                wanted = f"{first} has {facts[first][what]}: install the same on all hosts."
                problems.append(f"{host}: has {name} {fact[what]}, but {wanted}")
        same = next(other for other in facts if facts[other]["address"] == fact["address"])
        if same != host:
            problems.append(f"{host}: is the same machine as {same} ({fact['address']}). Name it once.")
    return problems
