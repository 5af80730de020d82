"""Lists of a retriever, and retrievers that have not seen those whom they are asked about."""

import numpy as np
import pytest
from tests.tiny import make_dataset

from ccf_llm.cf.candidates import Candidates, CrossFittedRetrievers
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.popularity import Popularity
from ccf_llm.cf.settings import EASEConfig, PopularityConfig
from ccf_llm.data.cuts import draw_cuts
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.data.split import user_time_split


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return user_time_split(make_dataset())


@pytest.fixture(scope="module")
def crossed(dataset: Dataset) -> CrossFittedRetrievers:
    return CrossFittedRetrievers.fit(EASE, likes_matrix(dataset, "train"), folds=3, config=EASEConfig(dim=4))


def test_lists_are_the_retriever_s_best_with_their_scores(dataset: Dataset) -> None:
    model, asked = EASE.fit(likes_matrix(dataset, "train")), targets(dataset, "valid")
    found = Candidates.of(asked, 8, model)
    for person in range(len(asked)):
        items = found.items[person][found.items[person] > 0]
        assert not set(items) & set(asked.seen[person])
        assert np.allclose(found.scores[person, : len(items)], model.scores(asked.histories[person])[items - 1])
        assert set(items[found.relevant[person, : len(items)]]) == set(items) & set(asked.items[person])
    assert (np.diff(found.scores, axis=1)[found.items[:, 1:] > 0] <= 0).all()


def test_a_list_of_more_than_is_left_ends_with_code_0(dataset: Dataset) -> None:
    model, asked = EASE.fit(likes_matrix(dataset, "train")), targets(dataset, "valid")
    found = Candidates.of(asked, 10_000, model)
    assert found.items.shape[1] == model.n_items
    assert (found.items == 0).any()
    assert not found.scores[found.items == 0].any()
    assert not found.relevant[found.items == 0].any()


def test_a_cross_fitted_retriever_has_not_seen_its_fold(dataset: Dataset, crossed: CrossFittedRetrievers) -> None:
    likes = likes_matrix(dataset, "train")
    for fold, model in enumerate(crossed.models):
        others = likes.toarray()
        others[crossed.fold_of_user == fold] = 0
        users = (others.sum(1) > 0).sum()
        assert np.allclose(model.popularity, (others > 0).sum(0)[1:] / users)


def test_each_person_is_asked_of_the_one_that_has_not_seen_them(
    dataset: Dataset, crossed: CrossFittedRetrievers
) -> None:
    cuts = draw_cuts(dataset, each=1)
    found = Candidates.of(cuts, 5, crossed)
    for person, user in enumerate(cuts.users):
        own = crossed.of_user(int(user)).top([cuts.histories[person]], 5, [cuts.seen[person]])[0]
        assert found.items[person].tolist() == own.tolist()


def test_times_are_kept_with_the_likes_of_a_fold(dataset: Dataset) -> None:
    """Also one of second 0, which a sparse matrix could take for nothing."""
    likes, times = likes_matrix(dataset, "train"), like_times(dataset, "train")
    times.data[0] = 0
    crossed = CrossFittedRetrievers.fit(Popularity, likes, times, folds=3, config=PopularityConfig(days=0.01))
    for fold, model in enumerate(crossed.models):
        kept = crossed.fold_of_user != fold
        others = times.toarray()[kept]
        recent = (others > others.max() - 0.01 * 24 * 60 * 60).sum(0)[1:]
        assert recent.sum() > 0
        assert np.allclose(model.recent, recent / (np.diff(likes.indptr)[kept] > 0).sum())
