"""Texts on one line, without what shows nothing: as prompts hold them and as people are shown them."""

import re
from unicodedata import category

JOINERS = "\u200c\u200d"  # they part or join letters (Persian, Hindi) and emoji
_JOINED = r"[\u0590-\u1fff\u2190-\U0010ffff]"  # what they stand between; not Latin, Greek, Cyrillic, spaces and signs
_IDLE = re.compile(f"(?<!{_JOINED})[{JOINERS}]+|[{JOINERS}]++(?!{_JOINED})")
# Fillers, joiners and selectors of variants: letters and marks without a width. More than two in a row are no writing.
_UNSEEN = rf"[{JOINERS}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
_RUN = re.compile(f"({_UNSEEN}{{2}}){_UNSEEN}+")


def clean(text: str, limit: int | None = 200) -> str:
    """The text on one line and at most `limit` characters long; None: whole.

    Control characters and line breaks become spaces, so that no title can open a new field of the prompt or fill it.
    Marks that show nothing (soft hyphens, signs of direction, joiners of nothing) are left out.

    >>> clean("Un\\u00adder \\u202ethe\\u202c\\nS\\u200dea")
    'Under the Sea'
    """
    line = " ".join("".join(map(_shown, text)).split())
    if not line.isascii():
        line = _RUN.sub(r"\1", _IDLE.sub("", line))
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def _shown(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    return "" if category(character) == "Cf" else " "
