"""A body's layers dealt out to the processes that train it together (FSDP), so that none holds more than one whole."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def shard(body: nn.Module, device: torch.device) -> None:
    """Leave each process its part of every layer's weights, on `device`; the adapter stays whole in each.

    A layer is put together by all processes at once, so they have to pass through the body equally often, while one may
    have fewer packs or people than another. So each says before a pass that it is about to make one, and who has none
    left passes with nothing as long as somebody says so.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    adapter = {weight for name, weight in body.named_parameters() if "lora_" in name}
    for layer in max((part for part in body.modules() if isinstance(part, nn.ModuleList)), key=len):
        fully_shard(layer, mesh=mesh, ignored_params=adapter)
    body.register_forward_pre_hook(_announce)


def anybody_passes(this: bool) -> bool:
    """Whether any of the processes is about to pass through the body; all of them ask this at once."""
    passing = torch.tensor([float(this)])
    dist.all_reduce(passing)
    return bool(passing)


def pass_nothing(model: nn.Module, nothing: Tensor) -> None:
    """Go through a body's layers, and back where gradients are enabled, with the embedding (1, 1, d) of no token."""
    nothing.requires_grad_(torch.is_grad_enabled())
    positions = torch.zeros(1, 1, dtype=torch.long, device=nothing.device)
    hidden = model(inputs_embeds=nothing, position_ids=positions, use_cache=False).last_hidden_state
    if hidden.requires_grad:
        (0 * hidden.sum()).backward()


def _announce(*_: object) -> None:
    anybody_passes(True)
