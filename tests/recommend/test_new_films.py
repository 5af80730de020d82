"""Films that came after training, told by their words alone, reach those whom they fit and nobody else."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.prior import Words
from ccf_llm.cf.settings import EASEConfig, PriorConfig
from ccf_llm.cf.vectors import EASEVectors
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Floats
from ccf_llm.data.split import user_time_split
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm.reading import state_width, text_vectors
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.model.build import build_network
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.saved import ModelInfo
from ccf_llm.prompts.details import words_of
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.recommend.following import Following
from ccf_llm.recommend.recommender import Order, Recommender
from ccf_llm.text.words import texts_of

DETAILS = ("year", "genres")
NEW = pl.DataFrame(
    {
        "item_id": ["sequel", "slasher"],
        "title": ["Toy Story 2", "Night of the Slasher"],
        "year": ["1999", "1999"],
        "genres": ["Animation, Children's, Comedy", "Horror"],
    }
)
FAMILY = ["Toy Story", "Aladdin", "Lion King, The"]
HORROR = ["Scream", "Nightmare on Elm Street, A", "Psycho", "Shining, The", "Carrie"]


def recommender_of(
    dataset: Dataset,
    vectors: Floats,
    llm: Path,
    details: tuple[str, ...],
    words: str = "sentences",
) -> Recommender:
    """EASE with a prior, whose likes alone decide: the language model is not asked."""
    told = Words.of(vectors, PriorConfig(words=words), states=state_width(words))
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    cf = EASEVectors.fit(dataset.rows("train"), dataset.rows("valid"), words=told, **sizes)
    settings = LLMConfig(model=str(llm), dtype="float32", device="cpu")
    network = build_network(
        dataset.items, cf, llm=settings, prompt=PromptConfig(), fusion=FusionConfig(), details=details, seed=0
    )
    info = ModelInfo(details=details)
    return Recommender(CCFLLM(network.eval(), dataset.user_vocabulary, dataset.items, info), dataset)


BY_GEMMA = pytest.param("sentences+llm:gemma3-270m", marks=tiny.needs_gemma)


@pytest.fixture(scope="module", params=["sentences", "sentences+ngrams", BY_GEMMA])
def films(tiny_llm: Path, request: pytest.FixtureRequest) -> Recommender:
    """MovieLens-100K, read by the sentence encoder, by letters or Gemma too, and the new films."""
    dataset = user_time_split(open_dataset("ml-100k"))
    texts = texts_of(dataset.items["title"].to_list(), words_of(dataset.items, DETAILS, len))
    return recommender_of(dataset, text_vectors(texts, request.param), tiny_llm, DETAILS, request.param).with_items(NEW)


@pytest.mark.llm
@pytest.mark.parametrize("order", ["next", "cf"])
def test_a_new_sequel_reaches_who_likes_such_films_and_not_the_horror_fan(films: Recommender, order: Order) -> None:
    ids = dict(films.dataset.items.select("title", "item_id").iter_rows())

    def ten(titles: list[str]) -> list[str]:
        return films.recommend_for_history([ids[title] for title in titles], 10, order=order)["item_id"].to_list()

    assert "sequel" in ten(FAMILY)
    assert "sequel" not in ten(HORROR)
    assert "slasher" not in ten(FAMILY)
    everything = films.recommend_for_history([ids[title] for title in HORROR], 2000, order=order)["item_id"].to_list()
    assert everything.index("slasher") < 100 < everything.index("sequel")


@pytest.fixture(scope="module")
def two_tastes(tiny_llm: Path, tiny_data: Dataset) -> Recommender:
    """Words say the item's taste, and each a little of its own."""
    codes = np.arange(1, len(tiny_data.items) + 1)
    taste = np.array([int(item[1:]) % 2 for item in tiny_data.items["item_id"]])
    vectors = 0.2 * np.random.default_rng(0).normal(size=(len(codes), 6)).astype(np.float32)
    vectors[np.arange(len(codes)), taste] += 1
    return recommender_of(user_time_split(tiny_data), vectors, tiny_llm, ("genres",))


def test_in_the_order_next_a_new_item_stands_where_its_words_put_it(
    two_tastes: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = pl.DataFrame({"item_id": ["even", "odd"], "title": ["A", "B"], "genres": ["drama", "drama"]})
    words = np.eye(6, dtype=np.float32)[:2]
    monkeypatch.setattr("ccf_llm.model.network.text_vectors", lambda texts, read_by: words)
    grown = two_tastes.with_items(new)
    for liked, other in ((["i2", "i4", "i6"], "odd"), (["i1", "i3", "i5"], "even")):
        found = grown.recommend_for_history(liked, 26, order="next")["item_id"].to_list()
        fits = "even" if other == "odd" else "odd"
        assert found.index(fits) < 12 < found.index(other)
    # What somebody likes scores as without words, and where nothing is known of the person the new ones come last.
    before = dict(two_tastes.recommend_for_history(["i2"], 24, order="next").select("item_id", "score").iter_rows())
    after = dict(grown.recommend_for_history(["i2"], 26, order="next").select("item_id", "score").iter_rows())
    assert {item: after[item] for item in before} == before
    nobody = grown.recommend_for_history([], 26, order="next")["item_id"].to_list()
    assert set(nobody[-2:]) == {"even", "odd"}


def test_scores_of_new_items_are_in_the_units_of_the_others(two_tastes: Recommender) -> None:
    dataset, items = two_tastes.dataset, two_tastes.model.item_vocabulary
    told = EASE.fit(two_tastes.following._likes, config=EASEConfig(dim=6))
    history, words = np.array([2, 4, 6]), np.zeros(len(items), dtype=np.float32)
    alone = Following(dataset, items).scores(history, words)
    np.testing.assert_allclose(Following(dataset, items, told).scores(history, words), alone, rtol=1e-6)
