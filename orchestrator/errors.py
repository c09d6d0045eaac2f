"""What went wrong, told so that it can be mended."""


class Told(Exception):
    """An end with lines for the user, and no traceback."""

    def __init__(self, *lines: str):
        super().__init__("\n".join(lines))
        self.lines = lines


class UserError(Told):
    """The user's mistake: one line for each thing to mend. The command line prints them and exits with code 2."""


class NoResult(Told):
    """What was asked for was tried, and nothing came of it: the reasons. The command line exits with code 1."""
