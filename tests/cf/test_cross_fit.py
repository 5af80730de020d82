import numpy as np
import pytest
import torch

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.cross_fit import align, assign_folds, cross_fit
from ccf_llm.cf.kinds import MODELS
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows

QUICK = {"dim": 8, "max_epochs": 8, "learning_rate": 0.02, "l2": 1e-3, "batch_size": 128}


def fit(kind: str, dataset: Dataset, rows: Rows, seed: int = 0) -> CFModel:
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    # More factors than items leave the turn between two models open; factors that have learned little drown in noise.
    own = {"ensemble": {"copies": 1}, "sasrec": {"dropout": 0.1}}.get(kind, {})
    config = MODELS[kind].config_type.model_validate(QUICK | own)
    return MODELS[kind].fit(rows, dataset.rows("valid"), **sizes, config=config, seed=seed)


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest, tiny_data: Dataset) -> CFModel:
    return fit(request.param, tiny_data, tiny_data.rows("train"))


def copy_of(model: CFModel) -> CFModel:
    copy = type(model)(model.n_users, model.n_items, model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval()


def items_of(model: CFModel) -> torch.Tensor:
    return model.item_embedding(model.item_counts.nonzero().squeeze(1)).detach()


def cosine(model: CFModel, reference: CFModel) -> float:
    """Mean cosine of the item factors."""
    return torch.cosine_similarity(items_of(model)[:, :-1], items_of(reference)[:, :-1]).mean().item()


def turn(model: CFModel, seed: int = 0) -> CFModel:
    """The model with the shown factors turned by a random orthogonal matrix."""
    generator = torch.Generator().manual_seed(seed)
    model.rotation.copy_(torch.linalg.qr(torch.randn(model.rotation.shape, generator=generator))[0])
    return model


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_alignment_turns_back_and_changes_no_score(model: CFModel, tiny_data: Dataset, noise: float) -> None:
    rows = tiny_data.rows()
    users, history, _ = model.inputs(rows)
    reference, other = turn(copy_of(model), seed=1), turn(copy_of(model))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in other.named_parameters():
            if name.rpartition(".")[2] == "items":
                weight.add_(noise * torch.randn(weight.shape, generator=generator))
    scores, before = other.score(rows), cosine(other, reference)
    aligned = align(other, reference)
    np.testing.assert_array_equal(aligned.score(rows), scores)
    assert cosine(aligned, reference) > max(0.9, before + 0.3)
    if not noise:
        torch.testing.assert_close(items_of(aligned), items_of(reference), atol=1e-5, rtol=0)
        users[::2] = 0  # cold ones too
        torch.testing.assert_close(
            aligned.user_embedding(users, history), reference.user_embedding(users, history), atol=1e-5, rtol=0
        )


def test_no_model_has_seen_its_fold_and_all_share_one_space(model: CFModel, tiny_data: Dataset) -> None:
    train = tiny_data.rows("train")
    folds = np.random.default_rng(0).integers(0, 3, len(train))
    given: list[Rows] = []

    def fit_part(rows: Rows) -> CFModel:
        given.append(rows)
        return fit(model.kind, tiny_data, rows, seed=1 + len(given))

    models = cross_fit(model, train, folds, fit_part)
    assert len(models) == len(given) == 3
    for fold, rows in enumerate(given):
        assert set(rows.timestamps) == set(train.timestamps[folds != fold])  # every row has its own second
    plain = [copy_of(other) for other in models]
    for other in plain:
        other.rotation.copy_(torch.eye(other.factors))
    assert all(cosine(other, model) > 0.3 for other in models)
    assert (
        np.mean([cosine(other, model) for other in models]) > np.mean([cosine(other, model) for other in plain]) + 0.1
    )


@pytest.mark.parametrize("whole_users", [0.0, 0.5, 1.0])
def test_folds(tiny_data: Dataset, whole_users: float) -> None:
    train = tiny_data.rows("train")
    rows_of = [np.flatnonzero(train.users == user) for user in np.unique(train.users)]
    groups = [rows[begin : begin + 3] for rows in rows_of for begin in range(0, len(rows), 3)]
    folds = assign_folds(groups, train, folds=4, whole_users=whole_users, seed=0)
    assert folds.shape == (len(train),)
    assert set(folds) == {0, 1, 2, 3}
    assert all(len(set(folds[group])) == 1 for group in groups)
    np.testing.assert_array_equal(folds, assign_folds(groups, train, folds=4, whole_users=whole_users, seed=0))
    users = np.unique(train.users)
    share = np.mean([len(set(folds[train.users == user])) == 1 for user in users])
    assert whole_users - 0.3 < share < whole_users + 0.3
    assert (share == 1) == (whole_users == 1)
