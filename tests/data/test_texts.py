import polars as pl
import pytest

from ccf_llm.data.texts import is_visible, plain_texts


@pytest.mark.parametrize(
    ("name", "texts", "plain"),
    [
        ("title", ["Tom &amp; Jerry", "L&#39;&eacute;t&#xE9;", "AT&T; &c", "a &amp;amp; b"], None),
        ("genres", ["Crime|Drama", "Sci-Fi, Fantasy|War", ""], ["Crime, Drama", "Sci-Fi, Fantasy, War", ""]),
        ("Tags", ["a;b ; c", "d"], ["a, b, c", "d"]),
        ("category", ["Food,Wine", "Tea , Cake,"], ["Food, Wine", "Tea, Cake"]),
        ("item_genre", ["Arts &amp; Crafts|Toys"], ["Arts & Crafts, Toys"]),
        ("description", ["this|that; those"], ["this|that; those"]),
    ],
)
def test_texts_are_read_as_people_mean_them(name: str, texts: list[str], plain: list[str] | None) -> None:
    expected = plain or ["Tom & Jerry", "L'été", "AT&T; &c", "a & b"]
    once = plain_texts(pl.Series(name, texts))
    assert once.to_list() == expected
    assert plain_texts(once).to_list() == expected


def test_a_title_must_show_something() -> None:
    titles = ["Dune", "葉子", "\U0001f3ac", "!", "", " \t", "\u200b", "\u00ad\ufeff", "\u3164", "\u2800"]
    assert is_visible(pl.Series(titles)).to_list() == [True] * 4 + [False] * 6
