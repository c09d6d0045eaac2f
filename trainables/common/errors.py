"""The errors that callers of this package handle separately. The text of each is one line for the user.

Training and evaluations raise these for every expected failure; any other exception is a bug. orchestrator/ reports
them.
"""


class DataError(Exception):
    """A data set cannot be loaded as asked: one line that says which file, what is wrong with it, and how to fix it.

    `field` is the field of the record that causes it, or "".
    """

    def __init__(self, text: str, field: str = ""):
        super().__init__(text)
        self.field = field


class Unfit(Exception):
    """A file, or a row of it, is invalid. The caller that knows the file's name puts it before this text."""


class CheckpointError(Exception):
    """A checkpoint cannot be read, or belongs to another run. One line."""


class Diverged(Exception):
    """A loss was not finite. A result, not a crash. `step` counts the run's gradient steps from 0."""

    def __init__(self, step: int, term: str):
        super().__init__(f"{term} was not finite at step {step}")
        self.step, self.term = step, term


class UsageError(ValueError):
    """A trained model cannot do what it is asked for, or take these arrays. One line that says why and what to do."""


class Undefined(Exception):
    """A number is not defined for this model or these data. One line that says why and what to do."""


def one_line(error: Exception) -> str:
    """A library's error message on one line; the exception's type if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__
