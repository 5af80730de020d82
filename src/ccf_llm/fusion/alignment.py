"""ALG: collaborative vectors into the space of the language model's token embeddings."""

import math

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
