"""What went wrong, told so that it can be mended."""


class UserError(Exception):
    """The user's mistake: one line for each thing to mend. The command line prints them and exits with code 2."""

    def __init__(self, *lines: str):
        super().__init__("\n".join(lines))
        self.lines = lines
