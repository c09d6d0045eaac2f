"""Runs a sweep's driver as a Ray Job on the head of a cluster, and follows its log. `Jobs` is the client.

`package` gathers the code that travels with a job, `settings.py` its settings; `job_server.py` speaks with the head.
"""

import asyncio
import importlib.util
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.clusters.job_server import ANSWER_S, JobServer, NoAnswer, NoJob, ServerFault
from orchestrator.clusters.job_system import PRINTABLE, STOPPED, JobSystem, Listed, State
from orchestrator.clusters.local import API_SERVER, inherited
from orchestrator.clusters.settings import check_settings
from orchestrator.errors import UserError
from trainables.common.installed import version

PACKAGES = ("orchestrator", "trainables")
PAUSE_S = 1.0  # between questions about a job, and before a connection is opened again
QUIET_S = 10.0  # without a new line of the log, after which we ask whether the job still runs
AGENT_S = 120.0  # for the agent of a head that has just started to take jobs
STOP_S = 180.0  # for a job to end once it is stopped; Ray kills it before, see RAY_JOB_STOP_WAIT_TIME_S
LOST_S = 300.0  # without any answer, after which a cluster is taken for lost
AGAIN = re.compile("status code 5|already exists")  # errors of Ray, and an earlier attempt whose answer was lost
LOUD = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")  # loggers that print to stderr


def package(folder: Path) -> Path:
    """A new folder in `folder` with our packages alone, and their version, to be a job's `working_dir`: about 1 MB.

    Equal code makes equal content, so that Ray uploads it once.
    """
    target = folder / "code"
    for name in PACKAGES:
        home = Path(importlib.util.find_spec(name).origin).parent
        for file in sorted(home.rglob("*.py")):
            copy = target / name / file.relative_to(home)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    about = target / f"vaeorch-{version()}.dist-info" / "METADATA"  # where Python looks for the version
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: vaeorch\nVersion: {version()}\n", encoding="utf-8")
    return target


class Jobs(JobSystem):
    """The jobs of the Ray whose dashboard is at `address`, usually the near end of a tunnel: `http://127.0.0.1:PORT`.

    Every method raises UserError: NoAnswer (one of them) if the server cannot be asked, NoJob if it lacks the job.
    """

    def __init__(self, address: str, token_file: Path | None):
        self.server = JobServer(address, token_file)

    def check(self) -> str:
        """Ask for Ray's version, once: so a wrong address or token is one clear line at once."""
        found = self.server.ask("GET", "/api/version")
        if not isinstance(found, dict) or "ray_version" not in found:
            raise self.server.foreign()
        return found["ray_version"]

    def submit(
        self,
        job_id: str,
        entrypoint: str,
        working_dir: Path,
        env: Mapping[str, str],
        resources: Mapping[str, float] | None = None,
    ) -> None:
        """Start a job: a shell's command line, in a copy of `working_dir` on the head. An equal one is started once.

        With `resources` (custom ones of Ray) it runs on a node that has them, and sees no GPU. Raises ValueError for
        an `env` that may hold secrets.
        """
        check_settings(env)
        facts = {
            "entrypoint": entrypoint,
            "submission_id": job_id,
            "runtime_env": {"working_dir": str(working_dir), "env_vars": PRINTABLE | dict(env)},
            "entrypoint_resources": dict(resources) if resources else None,
        }
        deadline = time.monotonic() + AGENT_S
        while (known := self._known(job_id)) is None:
            self._submit(facts, last=time.monotonic() > deadline)
        if known["entrypoint"] != entrypoint:
            raise UserError(f"{job_id}: this job is there already, with another command: {known['entrypoint']}")

    def status(self, job_id: str) -> State:
        return _state(self._details(job_id))

    def stop(self, job_id: str) -> State:
        """Send SIGTERM to the job's driver and all its processes, and wait until they have ended.

        Ray kills them RAY_JOB_STOP_WAIT_TIME_S (of its own environment; 3 by default) later.
        """
        deadline = time.monotonic() + STOP_S
        while not (state := self.status(job_id)).ended:
            if time.monotonic() > deadline:
                raise UserError(f"{job_id}: still {state.status} {STOP_S:.0f} s after it was stopped. Stop it again.")
            self.server.ask("POST", f"{_path(job_id)}/stop")  # again and again: Ray forgets it before the driver starts
            time.sleep(PAUSE_S)
        return state

    def logs(self, job_id: str) -> str:
        """All that the job has printed so far."""
        return self.server.ask("GET", f"{_path(job_id)}/logs")["logs"]

    def follow(self, job_id: str, reopen: Callable[[], str]) -> Iterator[str]:
        """The lines of the job's log from its beginning, each once, until the job has ended.

        When the connection is lost, `reopen` opens the way to the cluster again and returns the new address; where it
        raises NoAnswer, it is called again. Raises NoAnswer after LOST_S without any answer.
        """
        given, lost = 0, None
        while True:
            number, partial = 0, ""
            try:
                with closing(self._chunks(job_id)) as chunks:
                    for chunk in chunks:
                        lost = None
                        if not chunk and self.status(job_id).ended:
                            break
                        *lines, partial = (partial + chunk).split("\n")
                        number += len(lines)
                        for line in lines[max(0, given + len(lines) - number) :]:
                            given += 1
                            yield line
                if self.status(job_id).ended:
                    yield from self._rest(job_id, given)
                    return
                time.sleep(PAUSE_S)
            except NoAnswer:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > LOST_S:
                    raise
                time.sleep(PAUSE_S)
                with suppress(NoAnswer):
                    self.server.address = reopen()

    def list(self) -> tuple[Listed, ...]:
        """All submitted jobs, the oldest first."""
        found = [job for job in self.server.ask("GET", "/api/jobs/") if job["type"] == "SUBMISSION"]
        listed = (
            Listed(
                job["submission_id"],
                job["entrypoint"],
                _state(job),
                *(job[name] and job[name] / 1000 for name in ("start_time", "end_time")),
            )
            for job in found
        )
        return tuple(sorted(listed, key=lambda job: job.started or 0.0))

    def node_addresses(self) -> tuple[str, ...]:
        """The addresses of the cluster's nodes that are alive."""
        found = self.server.ask("GET", "/api/v0/nodes?limit=10000")["data"]["result"]["result"]
        return tuple(node["node_ip"] for node in found if node["state"] == "ALIVE")

    def _details(self, job_id: str) -> dict[str, Any]:
        return self.server.ask("GET", _path(job_id))

    def _known(self, job_id: str) -> dict[str, Any] | None:
        try:
            return self._details(job_id)
        except NoJob:
            return None

    def _submit(self, facts: dict[str, Any], last: bool) -> None:
        """Upload the code if Ray lacks it, and start the job. A failure to try again is an error if this was `last`."""
        from ray.job_submission import JobSubmissionClient

        for name in LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # Ray lets API_SERVER overrule its argument, and would ask a proxy even for this machine.
        with inherited({API_SERVER: self.server.address, "no_proxy": "*", "NO_PROXY": "*"}):
            try:
                client = JobSubmissionClient(self.server.address, headers=dict(self.server.headers))
                client.submit_job(**facts)
            except OSError as error:
                raise self.server.no_answer(error) from None
            except RuntimeError as error:
                if last or not AGAIN.search(str(error)):
                    reason = str(error).strip().rpartition("\n")[2]
                    line = f"{self.server.address}: Ray does not take the job {facts['submission_id']}: {reason}"
                    raise UserError(line) from None
                time.sleep(PAUSE_S)

    def _rest(self, job_id: str, given: int) -> Iterator[str]:
        """The lines of the log of an ended job after the first `given` ones; the last may lack its end."""
        try:
            lines = self.logs(job_id).split("\n")
        except ServerFault as fault:  # its node is gone, and the log with it
            yield f"The rest of the log cannot be read. {fault}"
        else:
            yield from lines[given : len(lines) - (not lines[-1])]

    def _chunks(self, job_id: str) -> Iterator[str]:
        """The log in pieces as they come; an empty one at first, and whenever nothing came for QUIET_S."""

        async def following() -> str | None:
            return await anext(chunks, None)

        chunks = self._received(job_id)
        with asyncio.Runner() as runner:
            try:
                while (chunk := runner.run(following())) is not None:
                    yield chunk
            finally:
                runner.run(chunks.aclose())

    async def _received(self, job_id: str) -> AsyncIterator[str]:
        import aiohttp  # a dependency of Ray

        address = f"{self.server.address}{_path(job_id)}/logs/tail"
        try:
            async with aiohttp.ClientSession(headers=self.server.headers) as session:
                async with asyncio.timeout(ANSWER_S):
                    socket = await session.ws_connect(address, max_msg_size=0)
                yield ""
                message = asyncio.ensure_future(socket.receive())
                while True:
                    await asyncio.wait({message}, timeout=QUIET_S)
                    if not message.done():
                        yield ""
                    elif message.result().type == aiohttp.WSMsgType.TEXT:
                        yield message.result().data
                        message = asyncio.ensure_future(socket.receive())
                    else:
                        return  # whether the job has ended is for its status to say
        except aiohttp.WSServerHandshakeError as error:
            self._details(job_id)  # raises the same error in words
            raise self.server.no_answer(error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.server.no_answer(error) from None


def _path(job_id: str) -> str:
    return f"/api/jobs/{quote(job_id, safe='')}"


def _state(job: dict[str, Any]) -> State:
    code = STOPPED if job["status"] == "STOPPED" else job["driver_exit_code"]
    if code is not None and code < 0:  # a signal's number
        code = 128 - code
    return State(job["status"], code, job["message"] or "")
