"""The tables that a paper prints for configurations of a sweep, kept in the spec that trains these again.

`reporting/paper_tables.py` sets our numbers beside them; `trainables/values.py` knows the names of numbers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    PositiveInt,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from orchestrator.spec.domains import path_in_run
from trainables.common.records import Mistake, Record
from trainables.values import unknown_value

NUMBER = re.compile(r"(-?\d+(?:\.(\d+))?)(?:\s*±\s*(\d+(?:\.\d+)?))?")


def _as_printed(text: str) -> str:
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no printed number. Write it as printed, such as 22.24 ± 0.57 or 16.")
    return text


Values = dict[Annotated[str, AfterValidator(path_in_run)], Any]
"""Path relative to `run` -> its value in the configurations that a number describes."""


class Heading(Record):
    """What a row or a column of a printed table says of its numbers."""

    label: str
    """As printed."""
    under: str = ""
    """The heading above this and neighbouring columns, such as a data set."""
    of: Values = {}
    """Path relative to `run` -> its value in the configurations that the numbers describe."""
    metric: str | None = None
    """The value of an evaluation that was measured, such as `fid_ard` or `svm_clean`."""
    percent: bool = False
    """Whether a share is printed in per cent."""


class Cell(Record):
    """A printed number; in YAML the number alone, where its row and column tell all of it."""

    number: Annotated[str, AfterValidator(_as_printed), WithJsonSchema({"type": ["string", "number"]})]
    """A mean, or a mean ± its standard deviation, as printed."""
    of: Values = {}
    """What row and column do not say of its configuration, or say otherwise."""
    metric: str | None = None
    """What was measured, where they say otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, value: Any) -> Any:
        values = value if isinstance(value, dict) else {"number": value}
        number = values.get("number")
        plain = isinstance(number, int | float) and not isinstance(number, bool)
        return values | {"number": str(number)} if plain else values

    @model_serializer(mode="wrap")
    def _short(self, write: SerializerFunctionWrapHandler) -> Any:
        return write(self) if self.of or self.metric else self.number

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": ["string", "number"]}]}


class PrintedRow(Heading):
    """A row of a printed table."""

    numbers: tuple[Cell | None, ...]
    """A number for each column; null where none is printed, or none of this sweep."""


class PrintedTable(Record):
    """A table as a paper prints it, or the part of it that describes trainings of this sweep."""

    table: str
    """Its name in the paper; S13 is Table 13 of a supplement."""
    caption: str = ""
    """What it shows, in a few words."""
    trainings: PositiveInt | None = None
    """Trainings of which each mean is; None where the paper does not say."""
    columns: Annotated[tuple[Heading, ...], Field(min_length=1)]
    rows: Annotated[tuple[PrintedRow, ...], Field(min_length=1)]

    def mistakes(self) -> Iterator[Mistake]:
        """Rows of another length than the header's, and numbers of no known metric."""
        for index, row in enumerate(self.rows):
            if len(row.numbers) != len(self.columns):
                counts = f"{len(row.numbers)} for {len(self.columns)} columns"
                yield f"rows[{index}].numbers", f"{counts}. Write null where a cell is empty."
        for place, one in self._parts():
            if one.metric and (wrong := unknown_value(one.metric)):
                yield f"{place}.metric", wrong
        named = [[bool(heading.metric) for heading in part] for part in (self.columns, self.rows)]
        if not (all(named[0]) and not any(named[1]) or all(named[1]) and not any(named[0])):
            yield "columns", "the metric is told by all columns or by all rows, and not by both. Write `metric` there."

    def _parts(self) -> Iterator[tuple[str, Heading | Cell]]:
        """All that may name a metric, each with its path."""
        yield from ((f"columns[{index}]", column) for index, column in enumerate(self.columns))
        for index, row in enumerate(self.rows):
            yield f"rows[{index}]", row
            yield from ((f"rows[{index}].numbers[{at}]", cell) for at, cell in enumerate(row.numbers) if cell)

    def cells(self) -> "Iterator[PrintedNumber]":
        """The numbers, row by row."""
        for at_row, row in enumerate(self.rows):
            for at_column, (column, cell) in enumerate(zip(self.columns, row.numbers, strict=True)):
                if cell is not None:
                    mean, decimals, std = NUMBER.fullmatch(cell.number).groups()
                    yield PrintedNumber(
                        row=at_row,
                        column=at_column,
                        of=column.of | row.of | cell.of,
                        metric=cell.metric or row.metric or column.metric,
                        scale=100 if row.percent or column.percent else 1,
                        mean=float(mean),
                        decimals=len(decimals or ""),
                        std=None if std is None else float(std),
                    )

    def place_of(self, cell: "PrintedNumber", *path: str) -> tuple[str | int, ...]:
        """The keys that lead to what a cell says of its configurations, or to the value of `path` there."""
        row, column = self.rows[cell.row], self.columns[cell.column]
        places = {("rows", cell.row): row, ("columns", cell.column): column}
        places = {("rows", cell.row, "numbers", cell.column): row.numbers[cell.column], **places}
        where = next((place for place, part in places.items() if path and path[0] in part.of), ("rows", cell.row))
        return (*where, "of", *path) if path else where


@dataclass(frozen=True)
class PrintedNumber:
    """A cell of a printed table: where it stands, of which configurations it is, and what is printed."""

    row: int
    column: int
    of: dict[str, Any]
    metric: str
    scale: int
    """By which our value must be multiplied to have the printed unit."""
    mean: float
    decimals: int
    """Digits after the point with which the mean is printed."""
    std: float | None
