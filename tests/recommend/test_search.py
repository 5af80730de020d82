import pytest

from ccf_llm.recommend.search import WordSearch

TITLES = ["The Matrix (1999)", "Star Wars (1977)", "Dune", "The Shawshank Redemption", "Amélie", "Dunes of Mars"]
AUTHORS = ["Wachowski", "Lucas", "Frank Herbert", "Darabont", "Jeunet", "Herbert Wells"]


@pytest.fixture(scope="module")
def search() -> WordSearch:
    return WordSearch(TITLES, AUTHORS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("matrx", ["The Matrix (1999)"]),  # a letter is missing
        ("mattrix", ["The Matrix (1999)"]),
        ("Star Wras", ["Star Wars (1977)"]),  # two are swapped, which is one
        ("Shawshenk Redemtoin", ["The Shawshank Redemption"]),  # long words may have two wrong
        ("herbrt dune", ["Dune", "Dunes of Mars"]),  # author and title
        ("AMELIE", ["Amélie"]),
        ("mtrx", []),  # two letters of a short word
        ("dn", []),
    ],
)
def test_a_typo_is_forgiven(search: WordSearch, words: str, expected: list[str]) -> None:
    found, amiss = search.find(words)
    assert [TITLES[place] for place in found] == expected
    assert len(amiss) == len(found)


def test_nothing_is_guessed_where_the_words_are_there(search: WordSearch) -> None:
    found, amiss = search.find("mars")  # not Wars
    assert ([TITLES[place] for place in found], amiss.tolist()) == (["Dunes of Mars"], [0])


def test_a_title_comes_before_what_else_is_told_and_both_before_a_typo() -> None:
    found, amiss = WordSearch(["Emma", "Pride", "Emmas"], ["Jane", "Emma Thompson", ""]).find("emma")
    assert dict(zip(found.tolist(), amiss.tolist(), strict=True)) == {0: 0, 1: 1, 2: 0}
    found, amiss = WordSearch(["Ubik", "Kubick", "Abickx"], ["", "", ""]).find("ubick")
    assert dict(zip(found.tolist(), amiss.tolist(), strict=True)) == {1: 0}
