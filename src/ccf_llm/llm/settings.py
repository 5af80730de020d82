"""Settings of the base model and of its adapter."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ccf_llm.settings import PathText, Settings

Quantization = Literal["int8", "nf4"]


class LoRAConfig(Settings):
    """Settings of the low-rank adapter (LoRA, Hu et al. 2022)."""

    rank: int = Field(default=8, ge=1, le=1024)
    """Rank of each update."""
    alpha: int = Field(default=16, ge=1)
    """Scale; the update is multiplied by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout before the adapter."""
    targets: tuple[str, ...] | str = "all-linear"
    """Names of the layers that get an adapter, or `all-linear`; the field's research code uses [q_proj, v_proj]."""


class LLMConfig(Settings):
    """The base language model."""

    model: PathText = "smollm2-135m"
    """An alias, a hub id, a folder or a GGUF file."""
    layers: int | None = Field(default=None, ge=1)
    """The first so many transformer layers are kept, with the final norm; all by default."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the frozen body computes in; auto takes bf16 where the processor has it natively."""
    quantize: Quantization | None = Field(default=None, exclude_if=lambda kind: kind is None)
    """Keep the weights of the frozen body's linear layers in a byte each (`int8`) or half a byte (`nf4`, as in QLoRA,
    Dettmers et al. 2023). They are computed with in `dtype`, which takes longer; needs the extra of that name."""
    shard: bool = Field(default=False, exclude_if=lambda shard: not shard)
    """Where several processes train together, each keeps its part of the base's layers (FSDP), not all of them."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`; auto takes a GPU if there is one."""
    lora: LoRAConfig = LoRAConfig()
    """The adapter."""
    checkpointing: bool = False
    """Gradient checkpointing: training keeps what goes into each layer, not what is computed in it, and computes that
    again on the way back. About a third more time, a fraction of the memory; the result stays."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shard and self.quantize is not None:
            raise ValueError("shard and quantize do not go together; give one of them")
        return self
