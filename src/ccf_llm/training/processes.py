"""Several processes that train one model: who they are, and what they tell each other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError, one_line

START = timedelta(minutes=10)
"""How long a process waits for all others to have been started."""
PATIENCE = timedelta(days=1)
"""How long it then waits for them, such as for the first one's CF models; that one has ended is noticed at once."""


class ProcessLost(CCFError):  # noqa: N818  # what is wrong with it is said by the other
    """One of the others has ended before its work was done."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes that torchrun or `accelerate launch` has started beside this one, if any, and part at the end.

    Each holds the whole model, frozen base included but for `llm.shard`, and takes the same steps: a step's packs are
    dealt to the processes, gradients are summed in one flat buffer, and each makes the same update, so that the result
    is that of one process but for rounding. `DistributedDataParallel` would do less: it averages over processes, where
    a step's loss is a sum over packs; it wants one backward pass of each process in every step, where a process has as
    many as its packs fill, or none; and what it is quick by, sums in the midst of that pass, is little for an adapter's
    few weights. The first process alone writes files.

    Groups that are there already, such as Ray's, are left as they are; they have to take tensors of the CPU.

    Args:
        device: `llm.device`. Of GPUs each process takes the one of its number.

    Raises:
        CCFError: the others cannot be reached, or there are fewer GPUs than processes; `ProcessLost` inside, where one
            of them ends.
    """
    if dist.is_initialized() or int(os.environ.get("WORLD_SIZE", 1)) == 1 or "MASTER_ADDR" not in os.environ:
        yield
        return
    gpus = torch.cuda.is_available() and device != "cpu"
    if gpus:
        _take_gpu(device)
    try:
        store, number, size = next(rendezvous("env://", timeout=START))
        # torchrun's store outlives a restart, and in it the addresses of processes that are gone.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(attempt, store)  # type: ignore[attr-defined]
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', '')}"
        raise CCFError(f"cannot join the other processes at {where} ({one_line(error)}); start all of them") from None
    yield
    # Not after an error: the others may never come to this.
    dist.destroy_process_group()


def count() -> int:
    """How many processes train together; 1 where this one is alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process is the one that writes files and tells of progress."""
    return rank() == 0


@contextmanager
def first_ahead() -> Iterator[None]:
    """Let the first process through the block before the others, which find there what it has written."""
    if not is_first():
        meet()
    yield
    if is_first():
        meet()


def meet() -> None:
    """Wait until all processes have come to this."""
    if count() > 1:
        _reduce(torch.zeros(1))


def total(values: Floats) -> Floats:
    """The sum of an array over all processes, to each of them."""
    if count() > 1:
        _reduce(torch.from_numpy(values))
    return values


def as_first(values: Tensor) -> Tensor:
    """Make a tensor that of the first process, in place."""
    if count() > 1:
        with _others():
            dist.broadcast(values, 0)
    return values


def sum_gradients(weights: list[Tensor], loss: float) -> float:
    """Make gradients their sum over all processes; returns that of the loss.

    A weight that has a gradient in no process keeps none, for the optimizer leaves it alone then.
    """
    if count() == 1:
        return loss
    there = [float(weight.grad is not None) for weight in weights]
    told = torch.tensor([*there, loss], device=weights[0].device)
    parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    flat = torch.cat([*(part.flatten() for part in parts), told])
    _reduce(flat)
    *sums, told = torch.split(flat, [*(part.numel() for part in parts), len(told)])
    *there, loss = told.tolist()
    for weight, gradient, found in zip(weights, sums, there, strict=True):
        weight.grad = gradient.view_as(weight) if found else None
    return loss


def _reduce(values: Tensor) -> None:
    with _others():
        dist.all_reduce(values)


@contextmanager
def _others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(
            f"another process of this training has ended ({one_line(error)}); see what it said, and give the same "
            "command again to go on"
        ) from None


def _take_gpu(device: str) -> None:
    place, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if ":" in device:
        raise CCFError(f"llm.device: {device} is one GPU, and there are several processes; take auto, or cpu")
    if place >= there:
        raise CCFError(f"llm.device: process {place + 1} of this machine has no GPU of its own, as there are {there}")
    torch.cuda.set_device(place)
