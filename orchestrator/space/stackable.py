"""Which trials could be trained together: those whose runs differ in numbers that shape nothing."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

FREE = ("seed", "epochs", "early_stopping", "kl_warmup_epochs")  # of a run: each model may have its own
NUMBERS = ("method", "optimizer")  # of a run: real numbers inside may differ; one that is 0 often turns a part off


def kind_of(run: dict[str, Any]) -> str:
    """What runs have in common that could be trained together: a digest of all in which they must not differ."""
    shape = {key: _shape(value) if key in NUMBERS else value for key, value in run.items() if key not in FREE}
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]


def several_of_a_kind(runs: Iterable[dict[str, Any]]) -> int:
    """How many of these runs could be trained together with another one."""
    kinds = Counter(kind_of(run) for run in runs if not run.get("compile"))  # earlier sweeps have no such field
    return sum(count for count in kinds.values() if count > 1)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_shape, value))
    return ("number", value == 0) if isinstance(value, float) else value
