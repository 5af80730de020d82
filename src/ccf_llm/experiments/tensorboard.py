"""Curves for TensorBoard; needs the extra `tensorboard`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ccf_llm.errors import CCFError
from ccf_llm.experiments.curves import Write


@contextmanager
def tensorboard(folder: Path) -> Iterator[Write]:
    """What writes points into a folder that `tensorboard --logdir` shows."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise CCFError("--tensorboard: not installed; pip install 'ccf-llm[tensorboard]'") from None
    with SummaryWriter(str(folder)) as writer:
        yield writer.add_scalar
