"""Texts cut to a budget where people would stop: after an entry of a list, else after a sentence."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

# Where a text may end: what precedes the match is kept.
_ENTRY = re.compile(r",\s*|$")
_SENTENCE = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+|(?<=[。！？])|$")  # noqa: RUF001
_WORD = re.compile(r"\s+|$")
_CHARACTER = re.compile(r"(?<=.)|$")


def cut(text: str, most: int, size: Callable[[str], int], *, listed: bool = False) -> str:
    """The longest beginning of a text whose `size` is at most `most`.

    It ends after a sentence, or an entry of a list; where not even the first fits, after a word, and where a word is
    too long, anywhere. What fits stays as it is; nothing is left where not even a character fits.

    Args:
        text: on one line.
        most: budget, in the unit of `size`.
        size: of a text, such as its number of tokens; hardly ever smaller for a longer beginning.
        listed: the text is a list, with commas between its entries.

    Examples:
        >>> cut("A ship. You wake, alone. Nobody knows why.", 26, len)
        'A ship. You wake, alone.'
        >>> cut("horror, science fiction, short", 25, len, listed=True)
        'horror, science fiction'
    """
    if size(text) <= most:
        return text
    for end in (_ENTRY if listed else _SENTENCE, _WORD, _CHARACTER):
        beginnings = list(_beginnings(text, end))
        fitting = bisect_right(beginnings, most, key=size)
        if fitting:
            return beginnings[fitting - 1]
    return ""


def _beginnings(text: str, end: re.Pattern[str]) -> Iterator[str]:
    """Those that end where a match begins, the shortest first; no empty one."""
    places = dict.fromkeys(found.start() for found in end.finditer(text))
    return (text[:place] for place in places if text[:place].strip())
