import numpy as np
import pytest
from retriever_suite import EVEN, ODD, RetrieverSuite, codes, tastes
from scipy.sparse import csr_matrix

from ccf_llm.cf.popularity import DAY, Popularity
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import PopularityConfig
from ccf_llm.errors import CCFError


class TestPopularity(RetrieverSuite):
    model_type = Popularity
    config = PopularityConfig()

    def test_ranks_a_stranger_by_history(self, model: Retriever) -> None:
        np.testing.assert_allclose(model.scores(EVEN), tastes().sum(axis=0).A1[1:] / 240, rtol=1e-6)

    def test_a_new_like_changes_the_scores_at_once(self, model: Retriever) -> None:
        np.testing.assert_array_equal(model.scores(ODD), model.scores(EVEN))  # the same for everybody

    def test_similar_puts_what_the_same_people_like_first(self, model: Retriever) -> None:
        with pytest.raises(CCFError, match=r"^popularity: knows no likeness of items; use another"):
            model.similar(1)

    def test_vectors_stand_for_items_and_histories(self, model: Retriever) -> None:
        for ask in (model.item_vectors, lambda: model.history_vectors([EVEN])):
            with pytest.raises(CCFError, match=r"^popularity: has no vectors for slots; take ease"):
                ask()

    def test_further_items_have_vectors_of_zeros_and_no_likeness(self, model: Retriever) -> None:
        with pytest.raises(CCFError, match=r"^popularity: has no vectors for slots"):
            model.with_items(2).item_vectors()


def test_a_window_counts_back_from_the_newest_like() -> None:
    people, items = [1, 2, 3, 1, 2, 1], [1, 1, 1, 2, 2, 3]
    likes = csr_matrix((np.ones(6), (people, items)))
    times = csr_matrix((np.array([1, 2, 3, 8 * DAY, 9 * DAY, 10 * DAY]), (people, items)))
    model = Popularity.fit(likes, config=PopularityConfig(days=1.5), times=times)
    np.testing.assert_allclose(model.scores(codes()), [0, 1 / 3, 1 / 3])
    # Item 2 is the more popular of the two; what nobody liked of late comes last.
    assert model.top([codes()], 3).tolist() == [[2, 3, 1]]
    assert Popularity.fit(likes, times=times).top([codes()], 3).tolist() == [[1, 2, 3]]


def test_a_window_needs_times() -> None:
    with pytest.raises(CCFError, match=r"^days: the likes have no times to count back from; leave the window out$"):
        Popularity.fit(tastes(), config=PopularityConfig(days=7))
