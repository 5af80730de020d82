"""ALG: vectors of other spaces into that of the language model's token embeddings."""

import math

import torch
from torch import Tensor, nn

from ccf_llm.fusion.slots import to_norm


class Alignment(nn.Sequential):
    """A network of one hidden layer: (S, c) -> (S, d).

    Args:
        inputs: c, the width of a CF vector.
        hidden: of the layer between.
        width: d.
        token_norm: the mean norm of the base model's token embeddings.
        silent: the last layer starts at zero, and with it every answer. Else the network starts as a random map whose
            answers are put to the norm of a token.
    """

    def __init__(self, inputs: int, hidden: int, width: int, token_norm: float, *, silent: bool) -> None:
        """Fresh layers, from torch's generator."""
        super().__init__(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.token_norm, self.silent = token_norm, silent
        # Answers are in units of a token embedding's element (.13 in SmolLM2). Without it one step of Adam moves a
        # fused vector by more than its length, and nothing is learned.
        self.unit = token_norm / math.sqrt(width)
        last = self[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.bias)
        if silent:
            nn.init.zeros_(last.weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """(S, d) aligned vectors of centred and scaled CF vectors (S, c)."""
        aligned: Tensor = self.unit * super().forward(vectors)  # type: ignore[no-untyped-call]
        return aligned if self.silent else to_norm(aligned, self.token_norm)


class Reading(nn.Linear):
    """A linear map of the vectors of a sentence encoder, or of hidden states: (S, w) -> (S, d) at the norm of a token.

    It starts as a random map of what is left without `mean`, which all texts have in common; that keeps what is alike
    alike (Johnson and Lindenstrauss 1984).
    """

    def __init__(self, mean: Tensor, width: int, token_norm: float) -> None:
        """A fresh map, from torch's generator."""
        super().__init__(len(mean), width)
        self.token_norm = token_norm
        with torch.no_grad():
            self.bias.copy_(-self.weight @ mean.to(self.weight))

    def forward(self, vectors: Tensor) -> Tensor:
        """(S, d) of (S, w); what has no words is zero."""
        read = super().forward(vectors) * (vectors != 0).any(-1, keepdim=True)
        return to_norm(read, self.token_norm)
