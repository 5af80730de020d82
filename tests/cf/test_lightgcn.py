import numpy as np
import torch
from shared_suite import N_ITEMS, N_USERS, CFModelSuite

from ccf_llm.cf.lightgcn import LightGCN
from ccf_llm.cf.settings import LightGCNConfig
from ccf_llm.data.rows import Rows

CONFIG = LightGCNConfig(dim=8, learning_rate=0.02, batch_size=64, max_epochs=12, history_length=1000, l2=1e-3)


class TestLightGCN(CFModelSuite):
    model_type = LightGCN
    config = CONFIG

    def test_a_fitted_model_needs_no_graph(self, model: LightGCN) -> None:
        assert model.graph is None
        assert set(dict(model.named_parameters())) == {"users", "items", "offset"}


def fresh(train: Rows) -> LightGCN:
    model = LightGCN(N_USERS, N_ITEMS, CONFIG).eval()
    model.count(train)
    model.begin_fit(train)
    model.end_pass(train)
    return model


def test_smoothing_is_the_papers(train: Rows) -> None:
    """Against dense matrices: mean over layers of powers of D^-1/2 A D^-1/2."""
    model = fresh(train)
    assert model.graph is not None
    n = N_USERS + 1
    adjacency = torch.zeros(n + N_ITEMS + 1, n + N_ITEMS + 1)
    liked = train.labels == 1
    adjacency[train.users[liked], n + train.items[liked]] = 1
    adjacency = adjacency + adjacency.T
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    step = scale[:, None] * adjacency * scale[None, :]
    ego = torch.cat([model.graph.users, model.graph.items])[:, :-1]
    smoothed = (ego + step @ ego + step @ step @ ego) / 3
    seen_users, seen_items = model.user_counts > 0, model.item_counts > 0
    torch.testing.assert_close(model.users[seen_users, :-1], smoothed[:n][seen_users])
    torch.testing.assert_close(model.items[seen_items, :-1], smoothed[n:][seen_items])


def test_a_steps_own_likes_are_left_out(train: Rows) -> None:
    """No vector that a row is scored with changes when the row's label does."""
    model = fresh(train).train()
    row = train.take(np.flatnonzero(train.labels == 1)[:1])
    flipped = train.labels.copy()
    flipped[(train.users == row.users[0]) & (train.items == row.items[0])] = 0
    without = fresh(Rows(**{**vars(train), "labels": flipped})).train()
    inputs = model.inputs(row)
    torch.testing.assert_close(model(*inputs), without(*inputs))
    assert not torch.allclose(model.eval()(*inputs), without.eval()(*inputs), atol=1e-7, rtol=0)


def test_an_unseen_user_is_smoothed_as_a_training_user_with_the_same_likes_would_be(train: Rows) -> None:
    """But for the own vector, which an unseen user has not: it is the mean of the others'."""
    model = fresh(train)
    assert model.graph is not None
    user = int(train.users[0])
    liked = np.unique(train.items[(train.users == user) & (train.labels == 1)])
    own = model.graph.users[user, :-1] / 3
    expected = model.users[user, :-1] - own + model.start
    vector = model.user_embedding(torch.tensor([0]), torch.from_numpy(liked)[None])[0]
    torch.testing.assert_close(vector[:-1], expected)
