"""The words of a catalogue's items, as texts."""

from collections.abc import Sequence

from ccf_llm.text.titles import reading_order

READERS = r"(sentences(?::.+?)?)(\+ngrams)?(?:\+llm:(.+))?"
"""How a setting names what reads such texts: the encoder, whether their letters are read, and a language model."""


def texts_of(titles: Sequence[str], details: Sequence[str] | None) -> list[str]:
    """Title and further words of each item on one line, as a sentence encoder reads them.

    Examples:
        >>> texts_of(["Matrix, The (1999)"], ["Action, Sci-Fi"])
        ['The Matrix (1999), Action, Sci-Fi']
    """
    pairs = zip(titles, details or [""] * len(titles), strict=True)
    lines = ((_on_one_line(reading_order(title)), _on_one_line(more)) for title, more in pairs)
    return [", ".join(filter(None, line)) for line in lines]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
