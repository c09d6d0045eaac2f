"""The verbs `sweep`, `resume` and `evaluate` with `--cluster`: what is checked here before it is sent there."""

import json
from dataclasses import asdict
from pathlib import Path

from orchestrator import terminal
from orchestrator.clusters.base import RemoteCluster
from orchestrator.clusters.connection import ConnectedCluster
from orchestrator.clusters.cost import check_known
from orchestrator.clusters.options import ClusterOptions
from orchestrator.clusters.read import read_cluster
from orchestrator.commands.dry_run import print_plan
from orchestrator.commands.results import print_evaluations
from orchestrator.commands.spec_file import read
from orchestrator.errors import UserError
from orchestrator.evaluation.selection import Selection, select_evaluations, written_in
from orchestrator.reporting.comparison import TABLE
from orchestrator.space.plan import Plan
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import datasets
from orchestrator.sweep.folder import recorded_spec
from trainables.data.access import DataAccess, elsewhere


def remote(options: ClusterOptions | None) -> RemoteCluster | None:
    """The cluster on which a verb is to run; None: this machine. Raises SpecError and UserError."""
    record = read_cluster(options.file) if options else None
    if isinstance(record, RemoteCluster):
        return record.priced()
    if options and options.detach:
        raise UserError(f"{options.file}: is of kind {record.kind}, which runs here: leave out --detach.")
    return None


def refuse_relative(plan: Plan) -> None:
    """Raises UserError for the user's own data at a path that means something else on a cluster's nodes."""
    sets = datasets(trial.run for trial in plan.examples)
    paths = [path for dataset in sets if dataset.is_own for places in dataset.wanted() for path in places]
    if wrong := [path for path in paths if not Path(path).is_absolute()]:
        cure = "Begin it with /: it is looked for on the cluster's nodes."
        raise UserError(*(f"run.data: {path}: is no whole path. {cure}" for path in dict.fromkeys(wrong)))


class Sender:
    """Sends verbs to a cluster, and shows what comes of them. Methods return the driver's exit code, 130 if detached.

    They raise UserError, ClusterFailed and NoResult.
    """

    def __init__(self, record: RemoteCluster, options: ClusterOptions, workspace: Workspace, json_wanted: bool = False):
        self.record, self.options = record, options
        self.workspace, self.json_wanted = workspace, json_wanted

    def plan(self, spec: Path, name: str | None, settings: tuple[str, ...]) -> Plan:
        """The plan of a spec, whose data are not looked at: the driver does that. Raises SpecError."""
        return read(spec, name, settings, DataAccess(self.workspace.data_root, elsewhere))

    def dry_run(self, plan: Plan) -> None:
        """Print what a sweep would do there. Raises UserError where `sweep` would before anything starts."""
        print_plan(plan, self.workspace.folder(plan.spec.name), self.json_wanted, self._checked(plan))
        if not self.json_wanted:
            for line in self.record.summary():
                print(f"  cluster    {line}")

    def sweep(self, plan: Plan, spec: Path, settings: tuple[str, ...], reuse: bool) -> int:
        """Send a new sweep."""
        self._checked(plan)
        text, named = spec.read_text(encoding="utf-8-sig"), f"name={json.dumps(plan.spec.name)}"
        known = {"settings": (*settings, named), "source": str(spec), "reuse": reuse}
        return self._send("sweep", plan.spec.name, text, **known)

    def resume(self, name: str) -> int:
        """Go on with a sweep that was sent there."""
        folder = self.workspace.folder(name)
        if (folder / layout.SPEC).is_file():  # else the driver alone has the spec
            self._check_budget(recorded_spec(folder))
        return self._send("resume", name)

    def evaluate(self, target: str, asked: Selection, form: str) -> int:
        """Measure models of a sweep or run that was trained there; print what is known of them in the form asked for.

        The driver prints the table of what it has measured.
        """
        folder = self.workspace.folder(target.partition("/")[0])
        if asked.metrics or (folder / layout.SPEC).is_file():  # else the driver has the spec
            select_evaluations(asked.metrics, asked.settings, written_in(folder))
        code = self._send("evaluate", target, selection=asdict(asked))
        if form != TABLE and code == 0 and not self.options.detach:
            print_evaluations(self.workspace.out, target, form)
        return code

    def _checked(self, plan: Plan) -> int | None:
        """How many trials train at a time; None where only the cluster itself knows.

        Raises UserError where a trial has no room, a price is not known that the budget needs, or a path is not whole.
        """
        nodes = self.record.room()
        slots = ConnectedCluster(nodes).slots(plan.spec.resources) if nodes else None
        self._check_budget(plan.spec)
        refuse_relative(plan)
        return slots

    def _check_budget(self, spec: SweepSpec) -> None:
        """Raises UserError for a budget in dollars where a price is not known."""
        if spec.budget and spec.budget.usd:
            check_known(self.record.prices())

    def _send(self, verb: str, target: str, spec: str | None = None, **known) -> int:
        from orchestrator.commands.cluster_jobs import run_on_cluster
        from orchestrator.commands.driver import Job
        from orchestrator.commands.home import Home

        name, root = target.partition("/")[0], self._root()
        console = terminal.console(stderr=self.json_wanted)
        home = Home(self.workspace, name, console, self.options.file, self.json_wanted)
        job = Job(verb, target, out="", data_root=root, **known)
        return run_on_cluster(job, spec, self.record, self.options, home)

    def _root(self) -> str | None:
        """The data root on the nodes. Raises UserError for a path that means something else there."""
        root = self.workspace.data_root
        if isinstance(root, Path) and not root.is_absolute():
            cure = "Begin it with /, or name s3://bucket/prefix."
            raise UserError(f"--data-root {root}: the cluster's nodes need a whole path. {cure}")
        return None if root is None else str(root)
