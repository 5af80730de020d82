"""The adapter folded into the weights while scoring: one matrix product per layer instead of three."""

from collections.abc import Iterable

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

Version = tuple[tuple[int, int], ...]


def version_of(tensors: Iterable[Tensor]) -> Version:
    """Changes when a tensor is replaced or written in place; the tensors must be kept while versions are compared."""
    return tuple((id(tensor), tensor._version) for tensor in tensors)


class MergedAdapter:
    """Swaps the weights of the adapted layers of `body` for merged copies, and back without a rounding error."""

    def __init__(self, body: nn.Module) -> None:
        """Nothing is merged yet."""
        self._layers = [module for module in body.modules() if isinstance(module, LoraLayer)]
        self._adapter = [p for name, p in body.named_parameters() if "lora_" in name]
        self._frozen: list[nn.Parameter] = []
        self._version: Version | None = None

    @torch.no_grad()
    def apply(self) -> None:
        """Merge the adapter as it is now; does nothing where that is done already."""
        if self._version == version_of(self._adapter):
            return
        self.undo()
        for layer in self._layers:
            base = layer.get_base_layer()
            self._frozen.append(base.weight)
            merged = base.weight.float() + layer.get_delta_weight("default")
            base.weight = nn.Parameter(merged.to(base.weight.dtype), requires_grad=False)
            layer.merged_adapters.append("default")
        self._version = version_of(self._adapter)

    def undo(self) -> None:
        """Put the frozen weights back."""
        for layer, weight in zip(self._layers, self._frozen, strict=False):
            layer.get_base_layer().weight = weight
            layer.merged_adapters.clear()
        self._frozen.clear()
        self._version = None
