"""The one exception for input that a person can put right."""


class CCFError(Exception):
    """Bad input. The message is one line that names the file, row or argument and what to do about it.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        """What the message quotes, such as the name of a column, may break lines; the message does not."""
        super().__init__(" ".join(message.splitlines()))


def one_line(error: Exception) -> str:
    """The first line of another library's error message that is not empty, for use in ours."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
