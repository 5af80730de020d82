"""The one exception for input that a person can put right."""


class CCFError(Exception):
    """Bad input. The message is one line that names the file, row or argument and what to do about it.

    The command line prints it without a traceback and exits with code 2.
    """
