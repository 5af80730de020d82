"""Attentive cross-modal fusion: semantic and collaborative embedding -> one embedding in the language model's space.

The paper's equations are not public; this is a reconstruction with its choices as options:

    e = g * e_sem + (1 - g) * ALG(e_cf),   g = sigmoid(W [e_sem ; ALG(e_cf)] + b),   fused = |token| * e / |e|
"""

import torch
from torch import Tensor, nn

from ccf_llm.fusion.alignment import Alignment, Reading
from ccf_llm.fusion.gate import Gate
from ccf_llm.fusion.odds import Odds
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.fusion.slots import to_norm


class Fusion(nn.Module):
    """ALG and GATE for one kind of slot.

    Args:
        cf_mean, cf_scale: (c,) mean and () root mean variance of the CF vectors, to centre and scale them. One scale
            for all dimensions: the bias varies most and says most, and should stand out as it does in the CF model.
        token_norm: the mean norm of the base model's token embeddings; every slot is written at this norm.

    With `start: semantic` the last layer of ALG starts at zero, so a fused vector starts as the semantic embedding at
    the norm of a token: the model begins stage 2 exactly as it ended stage 1. With `start: even` ALG is a random map
    whose answer is put to the norm of a token before the gate; so it is in `cf_only`, which has no semantic part.
    """

    cf_mean: Tensor
    cf_scale: Tensor

    def __init__(self, config: FusionConfig, cf_mean: Tensor, cf_scale: Tensor, width: int, token_norm: float) -> None:
        super().__init__()
        self.config = config
        self.token_norm = token_norm
        self.register_buffer("cf_mean", cf_mean)
        self.register_buffer("cf_scale", cf_scale.clamp(min=1e-4))
        self.dropout = nn.Dropout(config.dropout)
        self.align = Alignment(len(cf_mean), config.hidden, width, token_norm, silent=config.silent)
        gates = {"dimension": width, "scalar": 1}.get(config.variant)
        self.gate = Gate(width, gates, count_aware=config.count_aware) if gates else None

    def forward(self, semantic: Tensor, collaborative: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse S slots.

        Args:
            semantic: (S, d) semantic embeddings at token norm.
            collaborative: (S, c) CF vectors.
            counts: (S,) training interactions of each user or item.

        Returns:
            (S, d) fused embeddings at token norm, and (S,) the collaborative share of each:
            |(1 - g) ALG(e_cf)| / (|g e_sem| + |(1 - g) ALG(e_cf)|), between 0 (text only) and 1 (CF only).
        """
        if self.config.variant == "semantic":
            return semantic, semantic.new_zeros(len(semantic))
        aligned = self.aligned(collaborative)
        if self.config.variant == "cf_only":
            return aligned, aligned.new_ones(len(aligned))
        g = 0.5 if self.gate is None else self.gate(semantic, aligned, counts)
        text, cf = g * semantic, (1 - g) * aligned
        with torch.no_grad():
            text_norm, cf_norm = text.norm(dim=-1), cf.norm(dim=-1)
            share = cf_norm / (text_norm + cf_norm).clamp(min=1e-6)
        return to_norm(text + cf, self.token_norm), share

    def aligned(self, collaborative: Tensor) -> Tensor:
        """(S, d) CF vectors (S, c) in the language model's space."""
        vectors: Tensor = self.align(self.dropout((collaborative - self.cf_mean) / self.cf_scale))
        return vectors


class FusionPair(nn.Module):
    """Fusion of user slots and of item slots, whose CF vectors live in different spaces unless they are `shared`."""

    def __init__(
        self,
        config: FusionConfig,
        users: tuple[Tensor, Tensor],
        items: tuple[Tensor, Tensor],
        width: int,
        token_norm: float,
        words: Tensor,
        depth: int,
    ) -> None:
        """`users` and `items` are the mean and the scale of their CF vectors, `words` the mean (w,) of their words',
        `depth` the number of the language model's layers.
        """
        super().__init__()
        if config.shared:
            self.item = Fusion(config, *items, width, token_norm)
            self.user = self.item
        else:  # in this order, which decides what a seed draws
            self.user = Fusion(config, *users, width, token_norm)
            self.item = Fusion(config, *items, width, token_norm)
        self.text = Reading(words, width, token_norm) if config.maps_words else None
        self.odds = Odds(width, token_norm) if config.odds else None
        self.depth_bias = nn.Parameter(torch.zeros(depth)) if config.depth_bias else None

    def read(self, semantic: Tensor) -> Tensor:
        """(..., d) semantic embeddings in the language model's space, of vectors of words (..., w)."""
        read: Tensor = semantic if self.text is None else self.text(semantic)
        return read
