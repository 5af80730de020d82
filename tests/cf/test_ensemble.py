import numpy as np
import pytest
import torch
from pydantic import ValidationError
from shared_suite import N_ITEMS, N_USERS, CFModelSuite

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.ensemble import Ensemble
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import EnsembleConfig, MFConfig
from ccf_llm.data.rows import Rows


class TestEnsemble(CFModelSuite):
    model_type = Ensemble
    config = EnsembleConfig(
        dim=4, learning_rate=0.02, batch_size=64, max_epochs=12, history_length=10, l2=1e-3, copies=2
    )
    members = 4

    def test_its_score_is_the_mean_of_its_members(self, model: Ensemble, valid: Rows) -> None:
        each = [member.score(valid) for member in model.members if isinstance(member, CFModel)]
        assert len(each) == self.members
        assert np.abs(each[0] - each[1]).max() > 0.01
        np.testing.assert_allclose(model.score(valid), np.mean(each, axis=0), atol=1e-5)

    def test_a_member_is_what_it_would_be_by_itself(self, model: Ensemble, train: Rows, valid: Rows) -> None:
        shared = self.config.model_dump(include=set(MFConfig.model_fields))
        alone = MF.fit(train, valid, n_users=N_USERS, n_items=N_ITEMS, config=MFConfig(**shared), seed=1)
        member = model.members[1]
        assert isinstance(member, MF)
        torch.testing.assert_close(member.items, alone.items)

    def test_no_two_seeds_share_a_member(self, model: Ensemble, train: Rows, valid: Rows) -> None:
        other = self.fit(train, valid, seed=1)
        mine, theirs = ([member.items[1] for member in one.members] for one in (model, other))
        assert not any(torch.equal(a, b) for a in mine for b in theirs)


def test_needs_a_member() -> None:
    with pytest.raises(ValidationError, match="members"):
        EnsembleConfig(members=())
