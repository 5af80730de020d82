"""How the linear layers of a body compute: as they were made, for scoring (adapter merged), or fast in training."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.llm.quantized import is_quantized, quantized_product

Version = tuple[tuple[int, int], ...]
Product = Callable[[Tensor], Tensor]


def version_of(tensors: Iterable[Tensor]) -> Version:
    """Changes when a tensor is replaced or written in place; the tensors must be kept while versions are compared."""
    return tuple((id(tensor), tensor._version) for tensor in tensors)


def linear_layers(body: nn.Module) -> Iterator[tuple[nn.Linear, nn.Module]]:
    """The linear layers that a body came with, and each with its adapter: the layer itself where it has none."""
    inside = {id(part) for layer in body.modules() if isinstance(layer, LoraLayer) for part in layer.modules()}
    for layer in body.modules():
        base = layer.get_base_layer() if isinstance(layer, LoraLayer) else layer
        if type(base) is nn.Linear and (isinstance(layer, LoraLayer) or id(layer) not in inside):
            yield base, layer


class Products:
    """Exchanges what a call of the body's linear layers computes, and takes that back.

    The layers, their weights and the adapter stay where they are. In bf16 on a CPU weights are kept in oneDNN's own
    layout, as PyTorch's compiler does it; a plain layer lays them out anew in each call, which costs a third of it.

    One thread at a time: whoever computes with exchanged layers while other threads may do so too holds `lock`.
    """

    def __init__(self, body: nn.Module) -> None:
        self._body = body
        self._adapter = [p for name, p in body.named_parameters() if "lora_" in name]
        self._layers: list[nn.Module] = []
        self._state: Version | Literal["training"] | None = None
        self.as_made = False
        """Whether the layers have to compute as they were made to, as their weights come and go."""
        self.quantized = False
        """Whether the weights are such that no adapter can be merged into them: scoring computes as training does."""
        self.lock = threading.RLock()
        """Of this body, and so of all models that share it."""

    @torch.no_grad()
    def for_scoring(self) -> None:
        """Merge the adapter as it is now, without gradients; does nothing where that is done already."""
        if self.quantized or self.as_made:
            return self.for_training()
        version = version_of(self._adapter)
        if self._state != version:
            self._exchange(_scoring_product)
            self._state = version

    def for_training(self) -> None:
        """Compute with gradients: in bf16 with the adapter in bf16 too, on a CPU from weights in oneDNN's layout; from
        quantized weights that are dense for one product at a time; else as the layers were made to. The adapter's
        weights and their gradients are fp32 in any case.
        """
        weight = next(p for name, p in self._body.named_parameters() if "lora_" not in name)
        if self.as_made or (weight.dtype != torch.bfloat16 and not self.quantized):
            self.undo()
        elif self._state != "training":
            self._exchange(_training_product)
            self._state = "training"

    def undo(self) -> None:
        """Let the layers compute as they were made to."""
        for layer in self._layers:
            del layer.__dict__["forward"]
        self._layers.clear()
        self._state = None

    def _exchange(self, make: Callable[[nn.Linear, nn.Module], Product]) -> None:
        self.undo()
        for base, layer in linear_layers(self._body):
            layer.__dict__["forward"] = make(base, layer)
            self._layers.append(layer)


def _scoring_product(base: nn.Linear, layer: nn.Module) -> Product:
    """The product with a linear layer's weight, into which its adapter, if it has one, is merged. In bf16 the layout
    changes no bit of the results.
    """
    weight, bias = base.weight.detach(), base.bias
    if isinstance(layer, LoraLayer):
        weight = (weight.float() + layer.get_delta_weight("default")).to(weight.dtype)
    if weight.dtype == torch.bfloat16 and _has_onednn(weight):
        packed = _onednn_layout(weight)
        return lambda x: _onednn_product(x, packed, bias)
    return lambda x: F.linear(x, weight, bias)


def _training_product(base: nn.Linear, layer: nn.Module) -> Product:
    """x W' + b, with a gradient to x only, plus the adapter's s (x A') B' in x's dtype."""
    frozen = _frozen_product(base.weight.detach(), base.bias)
    if not isinstance(layer, LoraLayer):
        return frozen
    parts: Any = layer
    down, up = parts.lora_A["default"].weight, parts.lora_B["default"].weight
    dropout, scale = parts.lora_dropout["default"], parts.scaling["default"]

    def adapted(x: Tensor) -> Tensor:
        low = F.linear(dropout(x), down.to(x.dtype)).flatten(0, -2)
        out = frozen(x)
        return torch.addmm(out.flatten(0, -2), low, (scale * up).to(x.dtype).t()).view_as(out)

    return adapted


def _frozen_product(weight: Tensor, bias: Tensor | None) -> Product:
    """x W' + b, with a gradient to x only."""
    if is_quantized(weight):
        return quantized_product(weight, bias)
    if not _has_onednn(weight):
        return lambda x: F.linear(x, weight, bias)
    forth, back = _onednn_layout(weight), _onednn_layout(weight.t().contiguous())

    def product(x: Tensor) -> Tensor:
        out: Tensor = _FrozenProduct.apply(x, forth, back, bias)  # type: ignore[no-untyped-call]
        return out

    return product


class _FrozenProduct(torch.autograd.Function):
    """x W' + b of weights that do not learn, in oneDNN's layout for both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forth: Tensor, back: Tensor, bias: Tensor | None) -> Tensor:
        ctx.back = back
        return _onednn_product(x, forth, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _onednn_product(gradients[0].contiguous(), ctx.back, None), None, None, None


def _has_onednn(weight: Tensor) -> bool:
    """Whether oneDNN multiplies in bf16 there; on processors without AVX512 it refuses to."""
    return weight.device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _onednn_layout(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return packed


def _onednn_product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product
