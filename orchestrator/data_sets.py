"""What `vaeorch data` says of data sets: which there are, what is known of each, what lies below a data root."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UserError
from orchestrator.mistakes import Place, Problem, SpecError, cure, findings, show_value
from orchestrator.yaml_file import Document, override
from trainables.data import DATASETS, Dataset, Facts, prepared
from trainables.data.base import SPLITS
from trainables.records import name_of, summary

MIB = 1 << 20


def asked(name: str, settings: Iterable[str] = ()) -> Dataset:
    """The data set of a name, with the settings of `--set`. Raises SpecError with all mistakes."""
    record = next((record for record in DATASETS if name_of(record) == name), None)
    if record is None:
        raise UserError(f"unknown data set {show_value(name)}. {cure(name, map(name_of, DATASETS))}")
    document = override(Document({"name": name}, {(): Place(0, f"data set {name}")}), settings)
    try:
        return record.model_validate_json(json.dumps(document.values))
    except ValidationError as error:
        found = findings(error, record, document.values)
        raise SpecError(Problem(document.place(path), path, text) for path, text, _ in found) from None


def listed(root: Path) -> str:
    """Every data set in one line: name, shape, rows, what of it lies below the data root, what it is, its licence."""
    rows = [("NAME", "SHAPE", "TRAIN + VAL ROWS", "FILES", "PREPARED", "WHAT IT IS  [LICENCE]")]
    rows += [_line(record, root) for record in DATASETS]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows)


def _line(record: type[Dataset], root: Path) -> tuple[str, ...]:
    shape, rows, files = "any", "any", "your own"
    try:
        dataset = record()
    except ValidationError:  # it wants to know which files are meant
        pass
    else:
        facts = dataset.facts(root)
        shape, rows = _shape(facts.shape), f"{facts.train_rows:,} + {facts.val_rows:,}"
        files = _there([bool(_found(root, names)) for names in dataset.wanted()])
    number = len(prepared.finished(root, name_of(record)))
    what = f"{summary(record).rstrip('.')}  [{record.licence}]"
    return name_of(record), shape, rows, files, str(number or "no"), what


def _there(found: list[bool]) -> str:
    if all(found):
        return "there" if found else "none needed"
    return f"{sum(found)} of {len(found)}" if any(found) else "absent"


def told(dataset: Dataset, root: Path) -> str:
    """All that is known of a data set, its rows unread. Raises DataError."""
    facts, folder = dataset.facts(root), prepared.folder_of(dataset, root)
    index = prepared.read_index(folder) if (folder / prepared.INDEX).exists() else None
    rows = [("settings", _settings(dataset)), ("a row", f"{_shape(facts.shape)} {_range(facts)}")]
    rows += [("rows", f"{count} {split}") for split, count in _rows(facts, index)]
    rows += [("file", f"{' or '.join(names)}: {_size(_found(root, names))}") for names in dataset.wanted()]
    known = ("source", "citation", "licence", "home")
    rows += [(name, value) for name in known if (value := getattr(dataset, name))]
    rows += [("prepared", f"{folder}, {_mib(prepared.bytes_of(index))}" if index else f"not in {folder}")]
    others = [some for some in prepared.finished(root, dataset.name) if some != folder]
    rows += [("prepared", f"{some}, with other settings") for some in others]
    return "\n".join([f"{dataset.name}: {summary(type(dataset))}", *(f"  {name:<9} {value}" for name, value in rows)])


def _settings(dataset: Dataset) -> str:
    values = dataset.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    return ", ".join(f"{name}={show_value(value)}" for name, value in values.items()) or "none"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _range(facts: Facts) -> str:
    return "of any size" if facts.range is None else f"in [{facts.range[0]:g}, {facts.range[1]:g}]"


def _rows(facts: Facts, index: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """How many there are of each split; test rows are known of a prepared set only."""
    counts = {"train": facts.train_rows, "val": facts.val_rows}
    if index and index["splits"]["test"]:
        counts["test"] = index["splits"]["test"]["rows"]
    verbs = dict(zip(SPLITS, ("to train", "to validate", "to test"), strict=True))
    return ((verbs[split], f"{count:,}") for split, count in counts.items())


def _found(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).exists()), None)


def _size(path: Path | None) -> str:
    if path is None:
        return "absent"
    return "there, a folder" if path.is_dir() else f"there, {_mib(path.stat().st_size)}"


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"


def prepare(dataset: Dataset, root: Path, to: Path | None) -> str:
    """Prepare a data set under a progress bar; what there is now. Raises DataError."""
    from trainables.data.preparing import prepare as make

    with bar(f"{dataset.name}: preparing") as told:
        folder = make(dataset, root, to, told)
    return f"prepared  {folder}  {_contents(folder)}"


def verify(dataset: Dataset, root: Path) -> str:
    """Compute the checksums of a prepared set anew; what is sound. Raises UserError with a line for each damage."""
    from trainables.data.verifying import damages

    folder = prepared.folder_of(dataset, root)
    with bar(f"{dataset.name}: verifying") as told:
        lines = list(damages(dataset, folder, told))
    if lines:
        raise UserError(*lines)
    return f"sound  {folder}  {_contents(folder)}"


def _contents(folder: Path) -> str:
    index = prepared.read_index(folder)
    rows = sum(held["rows"] for held in index["splits"].values() if held)
    return f"{rows:,} rows, {len(prepared.shards_of(index))} shards, {_mib(prepared.bytes_of(index))}"


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, and what is to be told how many bytes are done, and of how many."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
