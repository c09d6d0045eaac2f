"""The section with learning curves: the objective and every other metric over the epochs, a line for each trial."""

from orchestrator.reporting.html.axes import Numbers, objective_axis
from orchestrator.reporting.html.charts import Curve, Plot, beyond, curve
from orchestrator.reporting.html.content import SweepData, TrialData, metrics_in
from orchestrator.reporting.html.markup import Markup, Section, element, joined, paragraph, scrolled
from orchestrator.reporting.html.tables import trial_button
from trainables.metrics import DIRECTIONS

POINTS = 6000  # of a figure's lines together
FEWEST_POINTS = 12  # of a line
SIGNS = {"max": 1.0, "min": -1.0, None: 0.0}


def section(sweep: SweepData) -> Section | None:
    """A figure for each metric, of which one is shown at a time. None before the first epoch."""
    metrics = [metric for metric in metrics_in(sweep) if any(trial.curve(metric) for trial in sweep.trials)]
    if not metrics:
        return None
    choice = element("select", *(element("option", metric) for metric in metrics), id="metric")
    label = element("label", "Metric ", choice, class_="script")
    figures = [_figure(sweep, metric) for metric in metrics]
    body = joined(paragraph(_lead(sweep)), label, legend(sweep), element("div", *figures, class_="choice"))
    return Section("Learning curves", body)


def legend(sweep: SweepData) -> Markup:
    """The best trials with their colours, as buttons that mark them."""
    best = [trial for trial in sweep.trials if trial.id in sweep.colors]
    items = [
        element("li", trial_button(trial.id, element("span", class_=f"swatch {sweep.colors[trial.id]}"), trial.title))
        for trial in best
    ]
    return element("ul", *items, class_="legend")


def _lead(sweep: SweepData) -> str:
    few = len(sweep.trials) <= len(sweep.colors)
    return "" if few else "The best trials have colours, the others are grey. Point at a line for its trial."


def _figure(sweep: SweepData, metric: str) -> Markup:
    sign = sweep.sign if metric == sweep.metric else SIGNS[DIRECTIONS.get(metric)]
    trials = [trial for trial in sweep.trials if trial.curve(metric)]
    values = [value for trial in trials for _, value in trial.curve(metric)]
    last = max(epoch for trial in trials for epoch, _ in trial.curve(metric))
    first = 1 if last > 1 else 0
    plot = Plot(Numbers(first, last, whole=True), objective_axis(values, sign), "epoch", metric)
    most = max(FEWEST_POINTS, POINTS // len(trials))
    lines = [curve(plot, _curve(sweep, trial, metric), most) for trial in reversed(trials)]  # the best on top
    title = f"{metric} over epochs, {len(trials)} trials"
    outside = beyond(plot.y, values)
    note = f"{outside} of {len(values)} values lie beyond the axis and are drawn at its end."
    caption = element("figcaption", note) if outside else None
    return element("figure", caption, scrolled(title, plot.drawn(title, *lines)), data_metric=metric)


def _curve(sweep: SweepData, trial: TrialData, metric: str) -> Curve:
    return Curve(trial.id, trial.title, trial.curve(metric), sweep.colors.get(trial.id, ""))
