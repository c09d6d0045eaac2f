"""The pages of data sets, metrics, evaluations and figures."""

from collections.abc import Iterator

from docs.build.markdown import code, heading, page, prose, table
from docs.build.records import fields
from orchestrator.figures.table import FIGURES
from trainables.common.records import name_of, summary
from trainables.data import DATASETS, Dataset
from trainables.evaluations import EVALUATIONS, Evaluation
from trainables.metrics import METRICS, OF_NAMES
from trainables.values import value_named

BETTER = {"max": "higher", "min": "lower", None: ""}


def data_sets_page() -> str:
    """Every data set: facts, files, licence and citation."""
    intro = (
        "`data: {name: ...}`. Files are looked for below `--data-root`, or `VAEORCH_DATA`. `train_rows` and `val_rows` "
        "take the first rows of a split. [Your own data](../guides/your-own-data.md) are the set `array`."
    )
    rows = [(f"[{code(name_of(one))}](#{name_of(one)})", prose(summary(one))) for one in DATASETS]
    return page("Data sets", intro, table(("data set", "what it is"), rows), *map(_data_set, DATASETS))


def metrics_page() -> str:
    """The metrics of every epoch, and the terms of losses."""
    rows = [
        (code(f"val/{one.name}"), prose(one.summary), BETTER[OF_NAMES[one.name]], prose(one.source)) for one in METRICS
    ]
    terms = [(code(f"train/{name}"), BETTER[better]) for name, better in OF_NAMES.items() if name not in _names()]
    return page(
        "Metrics of every epoch",
        "Each is computed on the validation rows after every epoch, exactly on any number of workers. Any of them can "
        "be a sweep's `objective`; one without a direction needs a `mode`. `train/...` are the means over the epoch's "
        "batches, of `loss` and of each term of the method's loss.",
        table(("metric", "what it is", "better", "source"), rows),
        "## Terms of losses",
        "Besides `nll` and `kl`. [Methods](methods.md) says which method has which.",
        table(("term", "better"), terms),
    )


def evaluations_page() -> str:
    """Every evaluation of trained models: its settings, and the numbers that it gives."""
    intro = (
        "`vaeorch evaluate NAME --metrics ...` measures trained models. `*` in the name of a number stands for a count "
        "of rows, a share in per cent, or the like. [Which evaluations matter](../guides/evaluating.md) helps to "
        "choose."
    )
    rows = [(f"[{code(name_of(one))}](#{name_of(one)})", prose(summary(one))) for one in EVALUATIONS]
    return page(
        "Evaluations of trained models",
        intro,
        table(("evaluation", "what it is"), rows),
        *map(_evaluation, EVALUATIONS),
    )


def figures_page() -> str:
    """Every kind of figure."""
    rows = [
        (code(name), kind.papers, prose((kind.__doc__ or "").partition("\n\n")[0])) for name, kind in FIGURES.items()
    ]
    return page(
        "Figures",
        "`vaeorch figure NAME KIND` draws one from trained models; "
        "[Reproducing a paper](../guides/reproducing-a-paper.md) says how; the [gallery](../gallery.md) has examples.",
        table(("kind", "figures of the papers", "what it shows"), rows),
    )


def _names() -> set[str]:
    return {one.name for one in METRICS}


def _data_set(record: type[Dataset]) -> str:
    parts = [heading(name_of(record)), prose(record.__doc__), fields(record)]
    facts = "\n".join(f"- {label}: {value}" for label, value in _facts(record) if value)
    return "\n\n".join(filter(None, (*parts, facts)))


def _facts(record: type[Dataset]) -> Iterator[tuple[str, str]]:
    if not record.is_own:
        dataset = record()
        facts = dataset.known_facts()
        yield "Shape", " x ".join(map(str, facts.shape))
        yield "Values", "unbounded" if facts.range is None else f"from {facts.range[0]:g} to {facts.range[1]:g}"
        yield "Rows", f"{facts.train_rows:,} to train on, {facts.val_rows:,} to validate"
        yield "Classes", str(record.classes or "")
        wanted = [" or ".join(map(code, names)) for names in dataset.wanted()]
        yield "Files", ", ".join(wanted) or "none: it is drawn, or comes with scikit-learn"
    yield "Real images of an FID", f"the {record.reference} rows"
    yield "Licence", prose(record.licence)
    yield "Published at", record.home and f"[{prose(record.home)}](https://{record.home})"
    yield "Cite", prose(record.citation)
    yield "Source", prose(record.source)


def _evaluation(record: type[Evaluation]) -> str:
    rows = []
    for pattern in record.gives:
        value = value_named(pattern.replace("[1-9]*", "1"))
        kind = value.kind
        rows.append((code(pattern.replace("[1-9]", "")), prose(value.label), prose(kind.unit), BETTER[kind.better]))
    numbers = table(("number", "in tables", "unit", "better"), rows)
    parts = (heading(name_of(record)), prose(record.__doc__), fields(record), numbers)
    return "\n\n".join(filter(None, (*parts, f"*Source*: {prose(record.source)}.")))
