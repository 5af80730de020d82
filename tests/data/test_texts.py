import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One<br/>two <I>and</I> <a href='x'>three</a>.</p>", "One two and three."),
        ("&lt;b&gt;bold&lt;/b&gt; &amp;amp; fine", "bold & fine"),
        ("<ul><li>a</li><li>b</li></ul>", "a b"),
        ("I <3 you, 1 < 2 > 1, <enter> <http://x.org>", "I <3 you, 1 < 2 > 1, <enter> <http://x.org>"),
        ("see <!-- not this --> it", "see it"),
        ("cut in a tag <a href=", "cut in a tag"),
        ("cut in a tag <", "cut in a tag"),
        ("<<b>i>x", "x"),
        ("line\nbreaks  stay", "line\nbreaks  stay"),
    ],
)
def test_descriptions_lose_their_tags(text: str, plain: str) -> None:
    once = plain_texts(pl.Series("description", [text]))
    assert once.to_list() == [plain]
    assert plain_texts(once).to_list() == [plain]


def test_titles_keep_what_looks_like_a_tag() -> None:
    assert plain_texts(pl.Series("title", ["<b> &amp; <a>"])).to_list() == ["<b> & <a>"]


@given(st.text(alphabet=st.sampled_from("<>/!-&;=abip r#1"), max_size=40))
def test_twice_is_once(text: str) -> None:
    once = plain_texts(pl.Series("description", [text]))
    assert plain_texts(once).to_list() == once.to_list()


@pytest.mark.parametrize("text", ["<" * 10_000, "<b" * 5_000, "<!--" * 2_500, "&" + "amp;" * 2_500 + "lt;b"])
def test_a_text_that_is_made_to_take_long_is_read_once(text: str) -> None:
    plain = plain_texts(pl.Series("description", [text]))
    assert "<b" not in plain[0]
    assert plain_texts(plain).to_list() == plain.to_list()


def test_a_title_must_show_something() -> None:
    titles = ["Dune", "葉子", "\U0001f3ac", "!", "", " \t", "\u200b", "\u00ad\ufeff", "\u3164", "\u2800"]
    assert is_visible(pl.Series(titles)).to_list() == [True] * 4 + [False] * 6
