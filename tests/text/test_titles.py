import pytest

from ccf_llm.text.titles import reading_order, work_title


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Matrix, The", "The Matrix"),
        ("Fish Called Wanda, A (1988)", "A Fish Called Wanda (1988)"),
        ("American in Paris, An", "An American in Paris"),
        ("Avventura, L' (1960)", "L'Avventura (1960)"),
        ("Good, The Bad and The Ugly, The (1966)", "The Good, The Bad and The Ugly (1966)"),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            "The City of Lost Children (La Cité des enfants perdus) (1995)",
        ),
        ("Hate (Haine, La) (1995)", "Hate (La Haine) (1995)"),
        ("Boot, Das (1981)", "Das Boot (1981)"),
        ("Enfer, L’", "L’Enfer"),  # noqa: RUF001
        ("Man, a Woman and a Bank, A (1979)", "A Man, a Woman and a Bank (1979)"),
        ("Cook the Thief His Wife & Her Lover, The (1989)", "The Cook the Thief His Wife & Her Lover (1989)"),
    ],
)
def test_a_moved_article_comes_back(stored: str, read: str) -> None:
    assert reading_order(stored) == read
    assert reading_order(read) == read


@pytest.mark.parametrize(
    "title",
    [
        "",
        ", The",
        "Der, Die, Das",
        "Le, La, Les (2001)",
        "Me, Myself, I",
        "The, A",
        "Bye Bye, Love (1995)",
        "I, The Jury",
        "Me, Myself & Irene (2000)",
        "301, 302",
        "The Rock",
    ],
)
def test_other_titles_stay(title: str) -> None:
    assert reading_order(title) == title


@pytest.mark.parametrize(
    ("title", "work", "with_subtitle"),
    [
        ("Dune (Book 1) [Hardcover]", "Dune", "Dune"),
        ("Dune: The Graphic Novel", "Dune", "Dune: The Graphic Novel"),
        ("Dune (Dune Chronicles (Book 1))", "Dune", "Dune"),
        ("Tigre, Le (1997)", "Le Tigre", "Le Tigre"),
        ("Walden - or, Life in the Woods {1854}", "Walden", "Walden - or, Life in the Woods"),
        ("Spider-Man 2:30", "Spider-Man 2:30", "Spider-Man 2:30"),
        ("(500) Days of Summer", "Days of Summer", "Days of Summer"),
        ("[REC]", "[REC]", "[REC]"),
        (": a title", ": a title", ": a title"),
    ],
)
def test_what_editions_share(title: str, work: str, with_subtitle: str) -> None:
    assert (work_title(title), work_title(title, subtitle=True)) == (work, with_subtitle)
    assert work_title(work) == work
