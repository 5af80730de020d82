"""Titles as people say them: "Matrix, The (1999)" -> "The Matrix (1999)"."""

import re

ARTICLES = (
    *("The", "A", "An"),
    *("Le", "La", "Les", "L'", "L’", "Un", "Une"),  # French  # noqa: RUF001
    *("El", "Los", "Las", "Una"),  # Spanish
    *("Il", "Lo", "I", "Gli"),  # Italian
    *("Der", "Die", "Das", "Ein", "Eine"),  # German
    *("De", "Het", "Den", "Det"),  # Dutch, Scandinavian
)
# name, article, then nothing but groups in brackets
_MOVED = re.compile(rf"^(?P<name>.+), (?P<article>{'|'.join(ARTICLES)})(?P<rest>(?:\s*\([^()]*\))*)\s*$")
_GROUP = re.compile(r"\(([^()]+)\)")
_BRACKETED = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\})")
_SUBTITLE = re.compile(r"\s*(?::\s|\s:|\s[-–—]\s|\s/\s).*")  # noqa: RUF001


def reading_order(title: str) -> str:
    """Put an article that catalogues move to the end back to the front, in the title and in its groups in brackets.

    Only an article right at the end, or right before groups in brackets, is moved; every other title stays as it is,
    and so do lists ("Der, Die, Das").

    Examples:
        >>> reading_order("City of Lost Children, The (Cité des enfants perdus, La) (1995)")
        'The City of Lost Children (La Cité des enfants perdus) (1995)'
        >>> reading_order("Me, Myself & Irene (2000)")
        'Me, Myself & Irene (2000)'
    """
    inner = _GROUP.sub(lambda group: f"({_article_first(group[1])})", title)
    return _article_first(inner)


def work_title(title: str, *, subtitle: bool = False) -> str:
    """What the titles of a work's editions share: without groups in brackets and, unless `subtitle`, without one.

    A title that is nothing but brackets stays as it is.

    Examples:
        >>> work_title("Dune: The Graphic Novel (Book 1) [Hardcover]")
        'Dune'
        >>> work_title("Matrix, The (1999)"), work_title("[REC]")
        ('The Matrix', '[REC]')
    """
    text, before = reading_order(title), ""
    while text != before:  # brackets may stand in brackets
        text, before = _BRACKETED.sub("", text), text
    if not subtitle:
        text = _SUBTITLE.sub("", text)
    return text.strip() or title


def _article_first(text: str) -> str:
    found = _MOVED.match(text)
    if found is None or _is_list(found["name"], found["article"]):
        return text
    joint = "" if found["article"].endswith(("'", "’")) else " "  # noqa: RUF001
    return f"{found['article']}{joint}{found['name']}{found['rest']}"


def _is_list(name: str, article: str) -> bool:
    """Whether name and article are a list: of articles, or of single words that the last continues (Me, Myself, I)."""
    parts = name.split(", ")
    return any(part in ARTICLES for part in parts) or (
        len(parts) > 1 and article != "The" and not any(" " in part for part in parts)
    )
