import numpy as np
import pytest
import torch

from ccf_llm.cf.cross_fit import align, cross_fit
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows


def copy_of(model: MF) -> MF:
    copy = MF(model.n_users, model.n_items, model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval()


def cosine(model: MF, reference: MF) -> float:
    """Mean cosine of the item factors."""
    seen = reference.item_counts > 0
    return torch.cosine_similarity(model.items[seen, :-1], reference.items[seen, :-1]).mean().item()


def rotated(model: MF, seed: int = 0, noise: float = 0.0) -> MF:
    """A copy whose factors are turned by a random orthogonal matrix."""
    generator = torch.Generator().manual_seed(seed)
    copy = copy_of(model)
    d = copy.config.dim
    copy.rotate(torch.linalg.qr(torch.randn(d, d, generator=generator))[0])
    with torch.no_grad():
        copy.items.add_(noise * torch.randn(copy.items.shape, generator=generator))
    return copy


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_alignment_turns_back_and_changes_no_score(tiny_mf: MF, tiny_data: Dataset, noise: float) -> None:
    rows = tiny_data.rows()
    model = rotated(tiny_mf, noise=noise)
    scores, before = model.score(rows), cosine(model, tiny_mf)
    aligned = align(model, tiny_mf)
    np.testing.assert_allclose(aligned.score(rows), scores, rtol=0, atol=1e-5)
    assert cosine(aligned, tiny_mf) > max(0.9, before + 0.3)
    if not noise:
        torch.testing.assert_close(aligned.items, tiny_mf.items, atol=1e-5, rtol=0)
        torch.testing.assert_close(aligned.history_center, tiny_mf.history_center, atol=1e-5, rtol=0)


def test_alignment_keeps_cold_users_scores_too(tiny_mf: MF, tiny_data: Dataset) -> None:
    rows = Rows.for_candidates(np.array([1, 2, 5]), np.arange(1, 20), user=0)
    model = rotated(tiny_mf)
    np.testing.assert_allclose(align(model, tiny_mf).score(rows), tiny_mf.score(rows), rtol=0, atol=1e-5)


def test_no_model_has_seen_its_fold(tiny_mf: MF, tiny_data: Dataset) -> None:
    train = tiny_data.rows("train")
    folds = np.random.default_rng(0).integers(0, 3, len(train))
    given: list[Rows] = []

    def fit(rows: Rows) -> MF:
        given.append(rows)
        sizes = {"n_users": tiny_mf.n_users, "n_items": tiny_mf.n_items}
        return MF.fit(
            rows, tiny_data.rows("valid"), **sizes, config=tiny_mf.config.model_copy(update={"max_epochs": 8})
        )

    models = cross_fit(tiny_mf, train, folds, fit)
    assert len(models) == len(given) == 3
    for fold, rows in enumerate(given):
        assert set(rows.timestamps) == set(train.timestamps[folds != fold])  # every row has its own second
    assert all(cosine(model, tiny_mf) > 0.2 for model in models)
