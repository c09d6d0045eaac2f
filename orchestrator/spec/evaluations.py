"""The field `evaluate` of a spec: what the verb measures unless the command line says otherwise."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from trainables.common.records import Record, choice, name_of
from trainables.evaluations import EVALUATIONS, Evaluation

Checkpoint = Literal["best", "last"]
"""Of which epoch a model is: that of the best objective, or the last one that was trained."""

Name = Literal[tuple(map(name_of, EVALUATIONS))]


def _as_mapping(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _told_apart(asked: tuple[Evaluation, ...]) -> tuple[Evaluation, ...]:
    """Raises ValueError for two entries that give values of the same names, of which only one could be shown."""
    seen = set()
    for evaluation in asked:
        known = (evaluation.name, *(getattr(evaluation, field) for field in evaluation.named_by))
        if known in seen:
            apart = f" Let them differ in {' or '.join(evaluation.named_by)}." if evaluation.named_by else ""
            raise ValueError(f"asks twice for numbers of the same names, of {evaluation.name}.{apart}")
        seen.add(known)
    return asked


Asked = Annotated[choice(EVALUATIONS), BeforeValidator(_as_mapping, json_schema_input_type=Name | choice(EVALUATIONS))]


class Evaluate(Record):
    """What `vaeorch evaluate` measures of this sweep's models, unless the command line says otherwise."""

    checkpoint: Checkpoint = "best"
    """Which model of a trial: that of its best epoch by the objective, or of its last one."""
    metrics: Annotated[tuple[Asked, ...], Field(min_length=1, strict=False), AfterValidator(_told_apart)] | None = None
    """Names of evaluations, or mappings of a name and settings: {name: frechet, axes: all}. Default: all of them."""
