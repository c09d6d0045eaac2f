"""The format of a shard: consecutive rows of a prepared set in an Arrow IPC file, which is memory-mapped.

The file holds one uncompressed record batch: `x` (bytes, or float32), and where the set has them `y`, `factors` (int64)
and `attributes` (0 or 1 in a byte). The schema's metadata holds the description of the rows, their source, and the
SHA-256 of the bytes of each column.
"""

# Shapes: N rows of the shard, X data dimensions.

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow import ipc

from trainables.common.errors import DataError, Unfit, one_line
from trainables.data.base import Rows
from trainables.data.formats.locate import DAMAGED
from trainables.data.prepared.index_file import AGAIN, CURE, compact

SHA256, COLUMNS = b"sha256", b"columns"
DTYPES = {"x": ("uint8", "float32"), "y": ("int64",), "factors": ("int64",), "attributes": ("uint8",)}

Head = dict[bytes, bytes]
"""The metadata of a shard, without its columns and their checksums."""


def columns_of(rows: Rows) -> dict[str, Any]:
    """The index's description of these rows' columns."""
    columns: dict[str, Any] = {"x": {"dtype": str(rows.x.dtype).removeprefix("torch."), "shape": list(rows.shape)}}
    if rows.y is not None:
        columns["y"] = {"dtype": "int64", "shape": []} | ({"names": list(rows.classes)} if rows.classes else {})
    if rows.factors is not None:
        names, sizes = list(rows.factors.names), list(rows.factors.sizes)
        columns["factors"] = {"dtype": "int64", "shape": [len(names)], "names": names, "sizes": sizes}
    if rows.attributes is not None:
        names = list(rows.attributes.names)
        columns["attributes"] = {"dtype": "uint8", "shape": [len(names)], "names": names}
    return columns


def head_of(common: dict[str, Any], split: str, first: int) -> Head:
    """The metadata of one shard; `common` is the part that all shards of a set share."""
    values = common | {"split": split, "first_row": first}
    return {name.encode(): compact(value).encode() for name, value in values.items()}


def content_of(rows: Rows, head: Head) -> pa.Buffer:
    """The content of the file with these rows."""
    arrays = {name: _plain(part) for name, part in _parts(rows)}
    checksums = {name: hashlib.sha256(array).hexdigest() for name, array in arrays.items()}
    fields = [pa.field(name, _type(array), nullable=False) for name, array in arrays.items()]
    own = {COLUMNS: compact(columns_of(rows)).encode(), SHA256: compact(checksums).encode()}
    schema = pa.schema(fields, metadata=head | own)
    columns = [_column(array, field.type) for array, field in zip(arrays.values(), fields, strict=True)]
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue()


def _parts(rows: Rows) -> Iterator[tuple[str, torch.Tensor]]:
    yield "x", rows.x
    if rows.y is not None:
        yield "y", rows.y
    if rows.factors is not None:
        yield "factors", rows.factors.values
    if rows.attributes is not None:
        yield "attributes", rows.attributes.values.to(torch.uint8)


def _plain(part: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(part.numpy())


def _type(array: np.ndarray) -> pa.DataType:
    value = pa.from_numpy_dtype(array.dtype)
    return value if array.ndim == 1 else pa.list_(value, math.prod(array.shape[1:]))


def _column(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    values = pa.array(array.reshape(-1))
    return values if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(values, type=kind)


def mapped(path: Path, rows: int, head: Head, columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """The columns of a shard, as read-only arrays (N, *X) in the mapped file. Raises DataError.

    Checks the schema, the metadata and the number of rows, but not the checksums.
    """
    with read_errors_reported(path):
        batch, found = _opened(path)
        expected = head | {COLUMNS: compact(columns).encode()}
        wrong = [name.decode() for name in expected if found.get(name) != expected[name]]
        if wrong:
            raise Unfit(f"its {', '.join(wrong)} is not what the index says")
        if batch.num_rows != rows:
            raise Unfit(f"{batch.num_rows} rows, {rows} expected")
        if batch.schema.names != list(columns):
            raise Unfit(f"columns {', '.join(batch.schema.names)}, {', '.join(columns)} expected")
        return {name: _array(batch.column(name), name, **kind) for name, kind in columns.items()}


def is_sound(path: Path, rows: int, head: Head, columns: dict[str, Any]) -> bool:
    """Whether a shard exists and its checksums match."""
    try:
        mapped(path, rows, head, columns)
        stated, found = checksums_of(path)
    except DataError:
        return False
    return stated == found


def checksums_of(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The checksums of each column of a shard: as the file states them, and as computed. Raises DataError."""
    with read_errors_reported(path):
        batch, found = _opened(path)
        stated = json.loads(found.get(SHA256, b"{}"))
        return stated, {name: hashlib.sha256(_buffer(batch.column(name))).hexdigest() for name in batch.schema.names}


@contextmanager
def read_errors_reported(path: Path) -> Iterator[None]:
    """Turns errors of reading a shard into DataErrors that name it."""
    try:
        yield
    except Unfit as error:
        raise DataError(f"{path}: {error}: {CURE}.") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing: {AGAIN}.") from error
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): make it readable.") from error
    except DAMAGED as error:
        raise DataError(f"{path}: damaged or something else ({one_line(error)}): {CURE}.") from error


def _opened(path: Path) -> tuple[pa.RecordBatch, Head]:
    with pa.memory_map(str(path)) as file:  # the mapping stays valid after the file is closed
        reader = ipc.open_file(file)
        if reader.num_record_batches != 1:
            raise Unfit(f"{reader.num_record_batches} record batches, 1 expected")
        batch = reader.get_batch(0)
    batch.validate()
    return batch, batch.schema.metadata or {}


def _buffer(column: pa.Array) -> pa.Buffer:
    """The numbers of a column. Raises Unfit where it has nulls or is not of numbers."""
    width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 1
    values = column.values if pa.types.is_fixed_size_list(column.type) else column
    if column.null_count or values.null_count or not pa.types.is_primitive(values.type):
        raise Unfit(f"a column of {column.type} that has gaps or no numbers")
    return values.buffers()[1].slice(0, len(column) * width * values.type.byte_width)


def _array(column: pa.Array, name: str, dtype: str, shape: list[int], **_: Any) -> np.ndarray:
    value = pa.from_numpy_dtype(dtype)
    kind = pa.list_(value, math.prod(shape)) if shape else value
    if column.type != kind or dtype not in DTYPES[name]:
        raise Unfit(f"column {name} is {column.type}, {kind} expected")
    return np.frombuffer(_buffer(column), dtype).reshape(len(column), *shape)
