"""Settings of the low-rank adapter (LoRA, Hu et al. 2022)."""

from pydantic import BaseModel, ConfigDict, Field


class LoRAConfig(BaseModel):
    """Settings of the low-rank adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1)
    """Rank of each update."""
    alpha: int = Field(default=16, ge=1)
    """Scale; the update is multiplied by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout before the adapter."""
    targets: tuple[str, ...] | str = "all-linear"
    """Names of the layers that get an adapter, or `all-linear`; the field's research code uses [q_proj, v_proj]."""
