"""The verbs of `vaeorch data`: list, describe, prepare, verify and push data sets.

Each returns the text that `cli/data.py` prints.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.checks.reading import bar, fetch
from orchestrator.errors import UserError
from orchestrator.spec.diagnostics import Location, Problem, SpecError, cure, findings, show_value
from orchestrator.spec.shipped import SPECS, find_spec
from orchestrator.spec.yaml_file import Document, override, read_yaml
from orchestrator.text import mebibytes
from trainables.common.lazy import LazyModule
from trainables.common.records import name_of, summary
from trainables.common.roots import in_bucket
from trainables.data import DATASETS, Dataset, Facts
from trainables.data.base import SPLITS, Splits, class_name
from trainables.data.loading import open_splits, read_facts
from trainables.data.prepared import index_file
from trainables.data.remote.fetch import index_content, place_of, sets

contact = LazyModule("orchestrator.figures.contact")

SPEC_SUFFIXES = (".yaml", ".yml")
IN_SPEC = ("run", "data")
MOST_CLASSES = 20  # that are listed


def asked(name: str, settings: Iterable[str] = ()) -> Dataset:
    """The data set of a name, or of the spec in a YAML file, with the settings of `--set`.

    The spec may be one that comes with vaeorch, named as `vaeorch sweep` takes it. Raises UserError, with all mistakes
    in the settings.
    """
    is_spec = name.lower().endswith(SPEC_SUFFIXES) or name in SPECS.files()
    document, base = (_of_spec(find_spec(Path(name))), IN_SPEC) if is_spec else (_of_name(name), ())
    word = document.values.get("name")
    record = next((record for record in DATASETS if name_of(record) == word), None)
    if record is None:
        what = f"unknown data set {show_value(word)}. {cure(word, map(name_of, DATASETS))}"
        raise SpecError([Problem(document.place(("name",)), (*base, "name"), what)]) if base else UserError(what)
    document = override(document, settings)
    try:
        return record.model_validate_json(json.dumps(document.values))
    except ValidationError as error:
        found = findings(error, record, document.values)
        raise SpecError(Problem(document.place(path), (*base, *path), text) for path, text, _ in found) from None


def _of_name(name: str) -> Document:
    return Document({"name": name}, {(): Location(0, f"data set {name}")})


def _of_spec(file: Path) -> Document:
    """The data set of a spec's `run`, with its paths. Raises SpecError where it has none."""
    document = read_yaml(file)
    run = document.values.get("run")
    data = run.get("data") if isinstance(run, dict) else None
    if not isinstance(data, dict):
        problem = (
            "is missing." if data is None else f"must be a mapping such as {{name: mnist}}, not {show_value(data)}."
        )
        raise SpecError([Problem(document.place(IN_SPEC), IN_SPEC, problem)])
    depth = len(IN_SPEC)
    places = {path[depth:]: place for path, place in document.places.items() if path[:depth] == IN_SPEC}
    return Document(data, places)


def listed(root: Path | str) -> str:
    """A line for each data set: name, shape, rows, files and prepared sets below the data root, summary, licence."""
    rows = [("NAME", "SHAPE", "TRAIN + VAL ROWS", "FILES", "PREPARED", "WHAT IT IS  [LICENCE]")]
    prepared_of = Counter(map(index_file.name_in, _finished(root)))
    rows += [_line(record, root, prepared_of[name_of(record)]) for record in DATASETS]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows)


def _line(record: type[Dataset], root: Path | str, number: int) -> tuple[str, ...]:
    shape, rows, files = "any", "any", "your own"
    try:
        dataset = record()
    except ValidationError:  # it requires settings that name the user's own files
        pass
    else:
        facts = read_facts(dataset, root)
        shape, rows = _shape(facts.shape), f"{facts.train_rows:,} + {facts.val_rows:,}"
        files = _there([bool(_found(root, names)) for names in dataset.wanted()])
    what = f"{summary(record).rstrip('.')}  [{record.licence}]"
    return name_of(record), shape, rows, files, str(number or "no"), what


def _there(found: list[bool]) -> str:
    if all(found):
        return "there" if found else "none needed"
    return f"{sum(found)} of {len(found)}" if any(found) else "absent"


def _check_outside(dataset: Dataset, file: Path) -> None:
    """Raises UserError for a file among the user's own data, one of which it might replace."""
    for [place] in dataset.wanted() if dataset.is_own else ():
        if Path(place).resolve() in (file.resolve(), *file.resolve().parents):
            raise UserError(f"--sheet {file}: lies among the data in {place}. Name a file elsewhere.")


def told(dataset: Dataset, root: Path | str, sheet: Path | None = None) -> str:
    """All that is known of a data set; into the file `sheet` its contact sheet is drawn. Raises DataError, UserError.

    It reads rows of the user's own files only, and those that the sheet shows.
    """
    if sheet:
        contact.check_file(sheet)
        _check_outside(dataset, sheet)
    facts, (place, index) = read_facts(dataset, root), _index(dataset, root)
    own = open_splits(dataset, root) if dataset.is_own else None
    rows = [("settings", _settings(dataset)), ("a row", f"{_shape(facts.shape)} {_range(facts)}")]
    rows += [("rows", f"{count} {split}") for split, count in _rows(facts, index)]
    rows += [("classes", str(dataset.classes))] if dataset.classes else []
    rows += _classes(own) if own else []
    rows += [("note", note) for note in (own.notes if own else (index or {}).get(index_file.NOTES, ()))]
    rows += [("file", f"{' or '.join(names)}: {_size(_found(root, names))}") for names in dataset.wanted()]
    known = ("source", "citation", "licence", "home")
    rows += [(name, value) for name in known if (value := getattr(dataset, name))]
    rows += [("prepared", f"{place}, {mebibytes(index_file.bytes_of(index))}" if index else f"not in {place}")]
    same = {key: some for key, some in _finished(root).items() if index_file.name_in(key) == dataset.name}
    rows += [("prepared", f"{same[key]}, with other settings") for key in same if key != index_file.key(dataset)]
    if sheet:
        title = Path(dataset.wanted()[0][0]).name if own else dataset.name
        contact.save_sheet(title, (own or open_splits(dataset, root)).train, sheet)
        rows.append(("sheet", str(sheet)))
    return "\n".join([f"{dataset.name}: {summary(type(dataset))}", *(f"  {name:<9} {value}" for name, value in rows)])


def _classes(splits: Splits) -> Iterator[tuple[str, str]]:
    """The classes of the user's own data, each with its rows to train and to validate."""
    train, val = splits.train, splits.val
    if train.y is None:
        yield "classes", "none: there are no labels"
        return
    counts = [Counter(part.y.tolist()) for part in (train, val)]
    labels = sorted(counts[0] | counts[1])
    yield "classes", f"{len(labels):,}"
    for label in labels[:MOST_CLASSES]:
        yield (
            "class",
            f"{class_name(train.classes, label)}: {counts[0][label]:,} to train, {counts[1][label]:,} to validate",
        )
    if len(labels) > MOST_CLASSES:
        yield "class", f"... and {len(labels) - MOST_CLASSES:,} more"


def _finished(root: Path | str) -> dict[str, Any]:
    """The key of each set that is prepared below a data root, and where it is. Raises DataError."""
    if in_bucket(root):
        return {key: place_of(root, key) for key in sorted(sets(root))}
    return {folder.name: folder for folder in index_file.finished(root)}


def _index(dataset: Dataset, root: Path | str) -> tuple[Any, index_file.Index | None]:
    """Where the prepared set of a record belongs, and its index, None if it is not prepared. Raises DataError."""
    if in_bucket(root):
        place = place_of(root, index_file.key(dataset))
        content = index_content(place)
        return place, content and index_file.index_of(content)
    folder = index_file.folder_of(dataset, root)
    return folder, index_file.read_index(folder) if (folder / index_file.INDEX).exists() else None


def _settings(dataset: Dataset) -> str:
    values = dataset.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    return ", ".join(f"{name}={show_value(value)}" for name, value in values.items()) or "none"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _range(facts: Facts) -> str:
    return "of any size" if facts.range is None else f"in [{facts.range[0]:g}, {facts.range[1]:g}]"


def _rows(facts: Facts, index: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """The purpose and the number of rows of each split; only a prepared set tells how many test rows there are."""
    counts = {"train": facts.train_rows, "val": facts.val_rows}
    if index and index["splits"]["test"]:
        counts["test"] = index["splits"]["test"]["rows"]
    verbs = dict(zip(SPLITS, ("to train", "to validate", "to test"), strict=True))
    return ((verbs[split], f"{count:,}") for split, count in counts.items())


def _found(root: Path | str, names: tuple[str, ...]) -> Path | None:
    return None if in_bucket(root) else next((root / name for name in names if (root / name).exists()), None)


def _size(path: Path | None) -> str:
    if path is None:
        return "absent"
    return "there, a folder" if path.is_dir() else f"there, {mebibytes(path.stat().st_size)}"


def prepare(dataset: Dataset, root: Path | str, to: Path | str | None) -> str:
    """Prepare a data set with a progress bar, and describe the result. Raises DataError and UserError."""
    from trainables.data.prepared.prepare import prepare as make

    for place in filter(in_bucket, (to, root)):
        raise UserError(f"{place}: sets are prepared in folders: name one, then push the set into the bucket.")
    with bar(f"{dataset.name}: preparing") as told:
        folder = make(dataset, root, to, told)
    notes = index_file.read_index(folder).get(index_file.NOTES, ())
    return "\n".join([f"prepared  {folder}  {_contents(folder)}", *(f"note      {note}" for note in notes)])


def push(dataset: Dataset, root: Path | str, to: str) -> str:
    """Push a prepared set into a bucket with a progress bar, and describe it. Raises DataError and UserError."""
    from trainables.data.remote.push import push as send

    if in_bucket(root) or not in_bucket(to):
        raise UserError("sets are pushed from a folder (--data-root) to s3://bucket/prefix.")
    folder = index_file.folder_of(dataset, root)
    with bar(f"{dataset.name}: pushing") as told:
        number = send(folder, to, told)
    return f"pushed  {place_of(to, folder.name)}  {_contents(folder)}, {number} files sent"


def verify(dataset: Dataset, root: Path | str) -> str:
    """Recompute the checksums of a prepared set, and describe it. Raises UserError with a line for each damage.

    For a set in a bucket this checks the machine's own copy.
    """
    from trainables.data.prepared.verify import damages

    folder = fetch(dataset, root) if in_bucket(root) else index_file.folder_of(dataset, root)
    if folder is None:
        raise UserError(f"{place_of(root, index_file.key(dataset))}: no finished set: push it first.")
    with bar(f"{dataset.name}: verifying") as told:
        lines = list(damages(dataset, folder, told))
    if lines:
        raise UserError(*lines)
    return f"sound  {folder}  {_contents(folder)}"


def _contents(folder: Path) -> str:
    index = index_file.read_index(folder)
    rows = sum(held["rows"] for held in index["splits"].values() if held)
    return f"{rows:,} rows, {len(index_file.shards_of(index))} shards, {mebibytes(index_file.bytes_of(index))}"
