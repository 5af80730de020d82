"""The adapter folded into the weights while scoring, and weights laid out for the processor."""

from collections.abc import Callable, Iterable

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F

Version = tuple[tuple[int, int], ...]


def version_of(tensors: Iterable[Tensor]) -> Version:
    """Changes when a tensor is replaced or written in place; the tensors must be kept while versions are compared."""
    return tuple((id(tensor), tensor._version) for tensor in tensors)


class MergedAdapter:
    """Lets the linear layers of a body answer for scoring, without gradient, and takes that back.

    Only what their call computes is exchanged: the layers, their weights and the adapter stay where they are.
    """

    def __init__(self, body: nn.Module) -> None:
        """Nothing is merged yet."""
        self._body = body
        self._adapter = [p for name, p in body.named_parameters() if "lora_" in name]
        self._layers: list[nn.Module] = []
        self._version: Version | None = None

    @torch.no_grad()
    def apply(self) -> None:
        """Merge the adapter as it is now; does nothing where that is done already."""
        if self._version == version_of(self._adapter):
            return
        self.undo()
        inside = {
            id(part) for layer in self._body.modules() if isinstance(layer, LoraLayer) for part in layer.modules()
        }
        for layer in self._body.modules():
            base = layer.get_base_layer() if isinstance(layer, LoraLayer) else layer
            if type(base) is nn.Linear and (isinstance(layer, LoraLayer) or id(layer) not in inside):
                layer.__dict__["forward"] = _scoring_product(base, layer)
                self._layers.append(layer)
        self._version = version_of(self._adapter)

    def undo(self) -> None:
        """Let the layers compute as they were made to."""
        for layer in self._layers:
            del layer.__dict__["forward"]
        self._layers.clear()
        self._version = None


def _scoring_product(base: nn.Linear, layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """The product with a linear layer's weight and, where it is adapted, its adapter's.

    In bf16 on a CPU the weight is kept in oneDNN's own layout, as PyTorch's compiler does it; the plain layer lays it
    out anew in each call, which costs a third of a short pass. The results are the same, bit for bit.
    """
    weight = base.weight.detach()
    if isinstance(layer, LoraLayer):
        weight = (weight.float() + layer.get_delta_weight("default")).to(weight.dtype)
    bias = base.bias
    onednn = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if onednn and weight.dtype == torch.bfloat16:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return lambda x: F.linear(x, weight, bias)
