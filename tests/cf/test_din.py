import torch
from shared_suite import N_ITEMS, CFModelSuite

from ccf_llm.cf.din import DIN
from ccf_llm.cf.settings import DINConfig
from ccf_llm.data.rows import Rows


class TestDIN(CFModelSuite):
    model_type = DIN
    config = DINConfig(dim=8, learning_rate=0.02, batch_size=64, max_epochs=12, history_length=10, l2=1e-3, hidden=16)

    def test_the_user_vector_is_the_interest_at_equal_weights(self, model: DIN) -> None:
        vector = model.user_embedding(torch.tensor([4]), torch.tensor([[0, 3, 5, N_ITEMS]]))[0]
        torch.testing.assert_close(vector[:-1], model.users[4, :-1] + model.items[[3, 5], :-1].mean(0))
        assert vector[-1] == model.users[4, -1]

    def test_what_counts_of_a_history_depends_on_the_candidate(self, model: DIN) -> None:
        """With no history both candidates' scores move by one amount for all; attention moves them apart."""
        users, items = torch.tensor([0, 0]), torch.tensor([3, 4])
        effect = []
        for liked in (1, 2):
            history = torch.tensor([[liked], [liked]])
            effect.append(model(users, history, items) - model(users, torch.zeros_like(history), items))
        assert effect[0][0] > effect[0][1]  # an odd like speaks for the odd candidate
        assert effect[1][1] > effect[1][0]

    def test_attention_starts_at_a_mean(self, valid: Rows) -> None:
        fresh = DIN(41, 31, self.config)
        fresh.item_counts.fill_(1)
        _, history, items = fresh.inputs(valid)
        liked, target = fresh.items[history][..., :-1], fresh.items[items][:, None, :-1].expand(-1, 10, -1)
        weights = fresh.weigh(torch.cat([liked, target, liked * target, liked - target], dim=-1))
        assert (weights - 1).abs().max() < 0.5
