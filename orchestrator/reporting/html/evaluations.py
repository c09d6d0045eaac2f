"""The section with what `vaeorch evaluate` measured of the trials, and what each number rests on."""

import math
import statistics
from collections.abc import Collection

from orchestrator.reporting.comparison import Comparison, cell, compare, notes
from orchestrator.reporting.html.content import SweepData
from orchestrator.reporting.html.markup import Markup, Section, bullets, element, joined, paragraph
from orchestrator.reporting.html.tables import number, table
from orchestrator.storage import layout
from orchestrator.storage.evaluations_file import EvaluatedModel, epoch_meant
from orchestrator.sweep.ranking import averaged
from orchestrator.text import label_at, label_of

TITLE = "Evaluations"


def section(sweep: SweepData) -> Section:
    """The numbers side by side; a sentence where nothing was evaluated."""
    together = averaged(sweep.results)
    models = [
        EvaluatedModel(
            label_at(label_of(trial.entry, trial.id in together), of),
            trial.id,
            findings,
            trial.folder,
            trial.entry["status"],
        )
        for of in layout.EVALUATED
        for trial in sweep.trials
        if (findings := [one for one in trial.entry.get("evaluations", ()) if epoch_meant(one) == of])
    ]
    if not models:
        return Section(TITLE, paragraph("Nothing was evaluated yet: see ", element("code", "vaeorch evaluate"), "."))
    found = compare(models)
    lead = "A row is a configuration: the mean over its seeds ± their standard deviation (of the population, number)."
    epochs = "of the best epoch's models; @last: of the last epoch's."
    parts = [paragraph(f"{lead} Numbers are {epochs}" if together else f"The numbers are {epochs}")]
    if found.rows:
        parts.append(_table(found, {model.label: model.id for model in models}))
    rests = element("h3", "What the numbers rest on")
    return Section(TITLE, joined(parts, rests, bullets(notes(found))))


def _table(found: Comparison, trials: dict[str, str]) -> Markup:
    rows = []
    for label in found.labels:
        cells = [_cell(row.numbers.get(label, {}).values()) for row in found.rows.values()]
        rows.append([element("td", label, class_="words"), *cells])
    return table(TITLE, ["model", *found.rows], rows, [trials[label] for label in found.labels])


def _cell(numbers: Collection[float]) -> Markup:
    """A number or the mean of several, as `vaeorch results --evaluations` shows it."""
    return number(statistics.fmean(numbers) if numbers else math.nan, cell(numbers))
