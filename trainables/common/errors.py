"""The errors that callers of this package tell apart. Each one's text is a line for the user.

What training and evaluations raise, other than errors of their own code, is one of these; orchestrator/ reports them.
"""


class DataError(Exception):
    """A data set cannot be had as asked: one line that says which file, what is wrong with it, and the cure.

    `field` is the field of the record that is to blame ("" where it is none of them).
    """

    def __init__(self, text: str, field: str = ""):
        super().__init__(text)
        self.field = field


class Unfit(Exception):
    """A file, or a row of it, is not as it must be. Whoever knows its name puts the name before this text."""


class CheckpointError(Exception):
    """A checkpoint cannot be read, or belongs to another run. One line."""


class Diverged(Exception):
    """A loss was not finite. A result, not a crash. `step` counts the run's gradient steps from 0."""

    def __init__(self, step: int, term: str):
        super().__init__(f"{term} was not finite at step {step}")
        self.step, self.term = step, term


class Undefined(Exception):
    """These rows do not define the number. One line that says why, and the cure."""


def one_line(error: Exception) -> str:
    """What a library's exception says, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
