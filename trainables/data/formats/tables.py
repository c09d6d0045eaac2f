"""Reads `x` and `y` from a .parquet file and decides which of its columns are features."""

# Shapes: N rows of the file, D numbers of a vector.

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from trainables.common.errors import Unfit
from trainables.common.lazy import LazyModule, np, parquet
from trainables.data.base.bounds import check_memory, check_unpacked
from trainables.data.formats.hidden import twins

types = LazyModule("pyarrow.types")
compute = LazyModule("pyarrow.compute")

COUNTED = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)*")
"""The column names under which pandas writes its index to parquet and CSV."""
LABELS = {"label", "labels", "target", "targets", "class", "classes"}


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """`x` (N, D), `y` (None where there is none), and notes. Raises Unfit."""
    file = parquet.ParquetFile(path)
    needed = unpacked_bytes(file)
    check_unpacked(path.stat().st_size, needed)
    check_memory(needed)
    schema = file.schema_arrow
    listed = "x" in schema.names and _is_list(schema.field("x").type)
    features = ["x"] if listed else _features(schema)
    table = file.read(columns=[*features, "y"] if listed else None)
    y = table["y"].to_numpy() if "y" in table.column_names else None
    x = _vectors(table["x"]) if listed else _columns(table, features)
    return x, y, [*_left(schema.names, features), *([] if listed else _doubtful(table, features))]


def unpacked_bytes(file) -> int:
    """The memory of a file's numbers and text, from its metadata."""
    widths = {field.name: _width(field.type) for field in file.schema_arrow}
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(
        max(column.total_uncompressed_size, column.num_values * widths.get(column.path_in_schema.split(".")[0], 8))
        for column in columns
    )


def _width(kind) -> int:
    """Bytes of a number in a column; 0 for text."""
    while _is_list(kind):
        kind = kind.value_type
    return math.ceil(kind.bit_width / 8) if types.is_primitive(kind) else 0


def _is_list(kind) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _features(schema) -> list[str]:
    """All columns except `y` and pandas' index. Raises Unfit for one that does not hold numbers."""
    index = _index(schema)
    used = [field for field in schema if field.name != "y" and field.name not in index]
    for field in used:
        if not (types.is_integer(field.type) or types.is_floating(field.type)):
            raise Unfit(f"column '{field.name}' is {field.type}, not numbers: drop it, or write lists in 'x'.")
    if not used:
        raise Unfit("no column 'x', nor any other than 'y': write vectors as lists in 'x', or as columns.")
    return [field.name for field in used]


def _index(schema) -> set[str]:
    """The columns that hold the index of a pandas frame, by its metadata or by their names."""
    try:
        told = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError):
        told = []
    return {name for name in told if isinstance(name, str)} | set(filter(COUNTED.fullmatch, schema.names))


def _vectors(column) -> np.ndarray:
    """A list column as (N, D)."""
    lists = column.combine_chunks()
    if lists.null_count:
        raise Unfit(f"row {lists.is_null().index(True)} of column 'x' is empty: drop or fill it.")
    lengths = compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    if len(set(lengths)) > 1:
        raise Unfit(f"the lists of column 'x' have {lengths.min()} to {lengths.max()} numbers: make them equally long.")
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), lengths.max(initial=0))


def _columns(table, features: list[str]) -> np.ndarray:
    """Columns side by side as (N, D)."""
    return np.column_stack([table[name].to_numpy() for name in features])


def _left(names: list[str], features: list[str]) -> Iterator[str]:
    """Notes on the columns that are neither features nor labels."""
    left = [name for name in names if name not in features and name != "y"]
    index = list(filter(COUNTED.fullmatch, left)) if features == ["x"] else left
    if index:
        yield f"pandas' index is no feature and was left out: {quoted(index)}."
    if others := [name for name in left if name not in index]:
        yield f"{len(others):,} columns beside x and y were left out: {quoted(others)}."


def _doubtful(table, features: list[str]) -> Iterator[str]:
    """Notes on columns that are used as features but may not be meant as such."""
    if labels := [name for name in features if name.lower() in LABELS or name == "Y"]:
        yield f"trained on as features, as labels are read from column 'y' alone: {quoted(labels)}."
    if counting := [name for name in features if _counts(table[name])]:
        yield f"trained on as features, though they do but count the rows: {quoted(counting)}."
    if alike := twins(features):
        yield f"columns whose names differ in case or spaces alone are all features: {quoted(alike)}."


def _counts(column) -> bool:
    """Whether whole numbers increase by one from row to row."""
    if not types.is_integer(column.type) or column.null_count or len(column) < 3:
        return False
    numbers = column.to_numpy().astype(np.int64)
    return bool((np.diff(numbers) == 1).all())


def quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
