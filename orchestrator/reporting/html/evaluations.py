"""The section with what `vaeorch evaluate` measured of the trials, and what each number rests on."""

import math
import statistics
from collections.abc import Collection

from orchestrator.reporting.comparison import Comparison, cell, compare, notes
from orchestrator.reporting.html.content import SweepData, TrialData
from orchestrator.reporting.html.markup import Markup, Section, bullets, element, joined, paragraph
from orchestrator.reporting.html.tables import number, table
from orchestrator.storage.evaluations_file import EvaluatedModel
from orchestrator.sweep.ranking import replicated
from orchestrator.text import label_of

TITLE = "Evaluations"


def section(sweep: SweepData) -> Section:
    """The numbers side by side; a sentence where nothing was evaluated."""
    several = replicated(sweep.results)
    models = [_model(trial, several) for trial in sweep.trials if trial.entry.get("evaluations")]
    if not models:
        return Section(TITLE, paragraph("Nothing was evaluated yet: see ", element("code", "vaeorch evaluate"), "."))
    found = compare(models)
    lead = "A row is a configuration: the mean over its seeds ± their standard deviation (of the population, number)."
    parts = [paragraph(lead if several else "Each trial at its best epoch.")]
    if found.rows:
        parts.append(_table(found, {model.label: model.id for model in models}))
    rests = element("h3", "What the numbers rest on")
    return Section(TITLE, joined(parts, rests, bullets(notes(found))))


def _model(trial: TrialData, several: bool) -> EvaluatedModel:
    return EvaluatedModel(label_of(trial.entry, several), trial.id, trial.entry["evaluations"], trial.folder)


def _table(found: Comparison, trials: dict[str, str]) -> Markup:
    rows = []
    for label in found.labels:
        cells = [_cell(row.numbers.get(label, {}).values()) for row in found.rows.values()]
        rows.append([element("td", label, class_="words"), *cells])
    return table(TITLE, ["model", *found.rows], rows, [trials[label] for label in found.labels])


def _cell(numbers: Collection[float]) -> Markup:
    """A number or the mean of several, as `vaeorch results --evaluations` shows it."""
    return number(statistics.fmean(numbers) if numbers else math.nan, cell(numbers))
