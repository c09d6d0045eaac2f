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


EXIT_CODES: dict[int, str] = {
    0: "success",
    1: "no result: every trial failed or diverged, or nothing could be measured (the reasons are printed); or a bug in"
    " vaeorch (a traceback)",
    2: "a mistake in what was asked, a disk that is full, or Ray that died: a line for each, with its cure",
    3: "a cluster or its driver was lost, or had no room; the line says how to go on",
    130: "Ctrl-C",
    141: "the reader of what was printed has gone, as in `| head`",
    143: "SIGTERM",
}
"""The exit codes of the command line, and what each means."""
