"""Errors for the user: what went wrong, in lines that say how to fix it."""


class ReportedError(Exception):
    """Ends the program with lines for the user and without a traceback."""

    def __init__(self, *lines: str):
        super().__init__("\n".join(lines))
        self.lines = lines


class UserError(ReportedError):
    """The user's mistake: one line for each thing to fix. The command line prints them and exits with code 2."""


class ClusterFailed(ReportedError):
    """A cluster was lost, or had no room: what happened and how to go on. The command line exits with code 3."""


class NoResult(ReportedError):
    """The work ran and gave no result: the reasons. The command line prints them and exits with code 1."""
