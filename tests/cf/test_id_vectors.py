from pathlib import Path

import numpy as np
import pytest
import torch

from ccf_llm.cf.ids import IDVectors
from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import IDVectorsConfig, MFConfig
from ccf_llm.data.rows import Rows
from ccf_llm.prompts.codes import BinaryCodes, dotted

SIZES = {"n_users": 41, "n_items": 31}
"""User 41 and item 31 have no training row."""


@pytest.fixture(scope="module")
def ids(train: Rows, valid: Rows) -> IDVectors:
    return IDVectors.fit(train, valid, **SIZES, config=IDVectorsConfig(dim=8))


def test_seen_codes_have_vectors_of_their_own_and_all_others_share_one(ids: IDVectors) -> None:
    items = ids.item_embedding(torch.arange(32))
    assert len(torch.unique(items, dim=0)) == 31
    assert torch.equal(items[0], items[31])
    users = ids.user_embedding(torch.arange(42), torch.zeros(42, ids.history_length, dtype=torch.long))
    assert len(torch.unique(users, dim=0)) == 41
    assert torch.equal(users[0], users[41])
    assert ids.user_counts.sum() > 0


def test_a_step_for_a_seen_item_leaves_unseen_ones_alone(ids: IDVectors) -> None:
    (gradient,) = torch.autograd.grad(ids.item_embedding(torch.tensor([3, 31])).sum(), [ids.items])
    assert gradient[3].any()
    assert not gradient[31].any()  # reads the vector of code 0


def test_it_is_saved_and_drawn_by_seed(ids: IDVectors, train: Rows, valid: Rows, tmp_path: Path) -> None:
    ids.save(tmp_path / "ids")
    loaded = load_cf(tmp_path / "ids")
    np.testing.assert_array_equal(loaded.score(valid), ids.score(valid))
    other = IDVectors.fit(train, valid, **SIZES, config=IDVectorsConfig(dim=8), seed=1)
    assert not torch.equal(other.items, ids.items)


@pytest.fixture(scope="module")
def mf(train: Rows, valid: Rows) -> MF:
    return MF.fit(train, valid, **SIZES, config=MFConfig(dim=8, max_epochs=20, learning_rate=0.02, batch_size=128))


def test_codes_are_four_bytes_and_near_where_vectors_are(mf: MF) -> None:
    codes = BinaryCodes(mf).items()
    assert len(codes) == 32
    assert codes == BinaryCodes(mf).items()
    bits = np.unpackbits(np.array([[int(part) for part in code.split(".")] for code in codes], dtype=np.uint8), axis=1)
    assert bits.shape == (32, 32)
    apart = (bits[1:31, None] != bits[None, 1:31]).mean(2)  # Hamming distances
    parity = np.arange(1, 31) % 2
    same = parity[:, None] == parity[None]
    assert apart[same & ~np.eye(30, dtype=bool)].mean() < apart[~same].mean() - 0.1


def test_a_user_without_training_rows_is_written_by_the_history(mf: MF) -> None:
    codes = BinaryCodes(mf)
    odd, even = (codes.users(Rows.for_candidates(np.array(likes), np.array([1, 2]))) for likes in ([1, 3], [2, 4]))
    assert odd[0] == odd[1] != even[0]


def test_dotted() -> None:
    assert dotted(np.array([203, 0, 113, 7], dtype=np.uint8)) == "203.0.113.7"
