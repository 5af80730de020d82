"""The table of token embeddings, as the first layer of a language model reads it."""

from torch import Tensor, nn


class TokenEmbeddings(nn.Embedding):
    """A frozen table whose rows are multiplied by the architecture's own scale: sqrt(d) in Gemma, 1 in most others.

    Bodies of scaled architectures expect it done in `inputs_embeds`. The table itself stays as it is, as the output
    head may be the same one, without the scale.
    """

    def __init__(self, table: Tensor, scale: float = 1.0) -> None:
        """Take the table (V, d) without copying it."""
        super().__init__(table.shape[0], table.shape[1], _weight=table, _freeze=True)
        self.scale = scale

    def forward(self, ids: Tensor) -> Tensor:
        """(..., d) embeddings of token ids (...)."""
        return self.scale * super().forward(ids)

    @property
    def mean_norm(self) -> float:
        """Mean norm of all tokens' embeddings."""
        return self.scale * float(self.weight.norm(dim=1).mean())


def scale_of(embeddings: nn.Module) -> float:
    """What a body's own input embeddings are multiplied by after they are looked up."""
    for name in ("scalar_embed_scale", "embed_scale"):  # the second may be a tensor, rounded to the body's precision
        if hasattr(embeddings, name):
            return float(getattr(embeddings, name))
    return 1.0
