from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.catalogue import Catalogue
from ccf_llm.text.works import fold

INFO = ModelInfo(details=("genres",))


@pytest.fixture(scope="module")
def model(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> CCFLLM:
    return CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, INFO)


@pytest.fixture(scope="module")
def catalogue(model: CCFLLM) -> Catalogue:
    return Catalogue(model)


def test_search_wants_all_words_and_puts_the_closest_first(catalogue: Catalogue) -> None:
    found = catalogue.search("dawn")
    assert len(found)
    assert all("Dawn" in catalogue.titles[code - 1] for code in found)
    assert set(catalogue.search("night dawn")) <= set(found)
    title = catalogue.titles[7]
    assert catalogue.search(title.upper(), 1).tolist() == [8]
    starts = [fold(catalogue.titles[code - 1]).startswith("red") for code in catalogue.search("red")]
    assert starts == sorted(starts, reverse=True)
    assert len(catalogue.search("OMER")) == len(catalogue.search("Ömer")) > 0
    assert catalogue.search(".*").tolist() == []
    assert len(catalogue.search("(19", limit=3)) == 3


def test_titles_are_shown_on_one_line_and_without_what_nobody_sees(model: CCFLLM) -> None:
    titles = ["\u202eRed\u202c\n\x1b[31mdawn", "Blue " * 2000, "Ömer"]
    grown = model.with_items(pl.DataFrame({"item_id": ["a", "b", "c"], "title": titles, "genres": ["\u2067x"] * 3}))
    catalogue = Catalogue(grown)
    assert catalogue.titles[-3:] == ["Red [31mdawn", ("Blue " * 2000).strip(), "Ömer"]
    assert catalogue.details[-3:] == ["x"] * 3
    assert catalogue.titled(titles[0]) == catalogue.titled("red [31mdawn") == len(catalogue) - 2


def test_items_liked_by_the_same_people_are_similar(catalogue: Catalogue) -> None:
    cf = catalogue._cf @ catalogue._cf.T
    even = np.arange(1, tiny.N_ITEMS + 1) % 2 == 0
    same = even[:, None] == even[None, :]
    off = ~np.eye(tiny.N_ITEMS, dtype=bool)
    assert cf[same & off].mean() > cf[~same].mean() + 0.3
    closeness = catalogue.similar(3)
    assert closeness[2] == pytest.approx(1, abs=1e-5)
    assert closeness.argmax() == 2


def test_text_scores_know_titles_only(catalogue: Catalogue) -> None:
    assert not catalogue.text_scores(np.array([], dtype=np.int64)).any()
    scores = catalogue.text_scores(np.array([5]))
    assert scores.argmax() == 4
    assert np.abs(scores).max() <= 1 + 1e-5


def test_shares_are_those_of_the_gate(catalogue: Catalogue) -> None:
    shares = catalogue.collaborative_shares
    assert shares.shape == (tiny.N_ITEMS,)
    assert ((shares > 0) & (shares < 1)).all()


def test_categories_come_from_details(catalogue: Catalogue, model: CCFLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalogue.in_category("drama").tolist() == [bool(i % 2) for i in range(1, tiny.N_ITEMS + 1)]
    with pytest.raises(CCFError, match="category 'war': unknown; choose one of: drama"):
        catalogue.in_category("war")
    monkeypatch.setattr("ccf_llm.recommend.catalogue.MAX_CATEGORIES", 0)
    assert Catalogue(model).categories == {}


def test_numbers_and_free_words_are_no_categories(model: CCFLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, n = Catalogue(model), tiny.N_ITEMS
    words = pl.DataFrame(
        {"year": ["1995"] * n, "genre": ["drama, war", None] * (n // 2), "tag": [f"tag {i}" for i in range(n)]}
    )
    monkeypatch.setattr(catalogue, "_columns", words)
    monkeypatch.setattr("ccf_llm.recommend.catalogue.MAX_CATEGORIES", 2)
    assert list(catalogue.categories) == ["drama", "war"]
    assert catalogue.in_category("war").tolist() == [True, False] * (n // 2)


def test_a_vocabulary_knows_single_ids(tiny_data: Dataset) -> None:
    vocabulary = tiny_data.item_vocabulary
    ids = ["i3", "nothing", "i24"]
    assert [vocabulary.code(one) for one in ids] == vocabulary.encode(pl.Series(ids)).tolist()
