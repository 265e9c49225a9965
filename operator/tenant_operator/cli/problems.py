"""What goes wrong at a terminal: one clear line, what to do about it, and an exit code."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes; `cloister --help` lists them."""

    DONE = 0
    FAILED = 1
    CHANGES = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    USAGE = 64
    STOPPED = 130


EXIT_CODES = """
Exit codes

0  done, and all is as it should be

1  it is not as it should be, or the API server refused

2  `plan` only: something would change

3  there is no such thing

4  the cluster or the audit service cannot be reached, or you may not

64  the command was not understood
"""


class ProblemError(Exception):
    """Said to the person as it is: what is wrong, then what to do."""

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
