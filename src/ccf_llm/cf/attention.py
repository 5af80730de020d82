"""A block of self-attention over the items of a history, in their order."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(
        self, queries: Tensor, sequence: Tensor, known: Tensor, dropout: float, bias: Tensor | None = None
    ) -> Tensor:
        """New states of the last Q positions: (B, Q, d), (B, H, d) of all positions, (B, H) no padding -> (B, Q, d).

        `bias`, (heads, Q, H), is added to what the softmax of the attention is taken of.
        """
        (B, Q, d), H = queries.shape, sequence.shape[1]
        normed = self.before_attention(sequence)
        split = (self.heads, d // self.heads)
        key, value = (
            self.key_value(normed).view(B, H, 2, *split).permute(2, 0, 3, 1, 4)
        )  # each (B, heads, H, d / heads)
        query = self.query(normed[:, -Q:]).view(B, Q, *split).transpose(1, 2)
        causal = torch.ones(H, H, dtype=torch.bool, device=known.device).tril()[-Q:]
        itself = torch.eye(H, dtype=torch.bool, device=known.device)[-Q:]  # padding reads itself: no empty softmax
        mask = (causal & known.unsqueeze(1)) | itself  # (B, Q, H)
        mask = mask.unsqueeze(1)
        if bias is not None:
            mask = torch.where(mask, bias, -torch.inf)  # (B, heads, Q, H)
        read = F.scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout)
        states: Tensor = queries + F.dropout(self.out(read.transpose(1, 2).reshape(B, Q, d)), dropout)
        return states + F.dropout(self.mlp(self.before_mlp(states)), dropout)
