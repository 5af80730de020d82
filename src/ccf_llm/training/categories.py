"""An auxiliary loss: the state that answers also tells the item's categories, such as genres (ARROW, WSDM 2026)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError
from ccf_llm.model.network import CCFNetwork
from ccf_llm.training.data import ListData, TrainingData
from ccf_llm.training.stage import StageConfig


class CategoryHead(nn.Module):
    """Log-odds of each category from the last hidden state of the answer position, by a linear map of its own.

    It is trained with its stage and dropped at its end: what stays is what the adapter learned by it.

    Args:
        width: d of the hidden states.
        categories: (n_items + 1, C) 1 where an item has a category, by item code.

    It draws nothing at random: the map starts at zero, and the bias at how common each category is.
    """

    targets: Tensor

    def __init__(self, width: int, categories: Floats) -> None:
        super().__init__()
        targets = torch.from_numpy(categories).float()
        self.register_buffer("targets", targets)
        told = targets[targets.any(1)]
        common = (told.sum(0) + 0.5) / (len(told) + 1)
        self.weight = nn.Parameter(torch.zeros(targets.shape[1], width))
        self.bias = nn.Parameter(common.logit())

    def forward(self, hidden: Tensor, items: Codes) -> Tensor:
        """(N,) mean cross-entropy over the categories, of hidden states (N, d) and item codes (N,).

        0 of an item that has no category: nobody has told.
        """
        targets = self.targets[torch.from_numpy(items).to(self.targets.device)]
        scores = F.linear(F.layer_norm(hidden.float(), hidden.shape[-1:]), self.weight, self.bias)
        losses = F.binary_cross_entropy_with_logits(scores, targets, reduction="none").mean(1)
        return losses * targets.any(1)


def category_head(model: CCFNetwork, data: TrainingData | ListData, stage: StageConfig) -> CategoryHead | None:
    """A fresh head; None where the stage has no such loss. Raises `CCFError` where nobody gives categories."""
    if not stage.category_weight:
        return None
    if data.categories is None:
        raise CCFError("category_weight: the data have no categories to learn; name a column by data.categories")
    return CategoryHead(model.llm.width, data.categories).to(model.device)
