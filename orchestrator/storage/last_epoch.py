"""After which epoch a trial is over: its last one, or where its `early_stopping` ends it."""

from collections.abc import Sequence

from trainables.run import EarlyStopping


def last_epoch_of(config: dict) -> int:
    """The last epoch that a trial may train."""
    return config.get("last_epoch", config["run"]["epochs"])


def is_over(config: dict, lines: Sequence[dict]) -> bool:
    """Whether a trial has trained its last epoch, by the lines of its metrics.jsonl."""
    stopping = config["run"].get("early_stopping")
    values = [line[stopping["metric"]] for line in lines] if stopping else []
    return len(lines) == last_epoch_of(config) or bool(stopping and EarlyStopping(**stopping).is_over(values))
