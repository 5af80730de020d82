"""The plain way, as the field's research code scores: one prompt for each row, logits at all positions.

It shares nothing and knows no branches. Every fast path is held equal to it, and measured against it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.data.rows import Rows
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.collate import collate_prompts
from ccf_llm.prompts.pack import Sequence, plan_sequences


def plan_prompts(network: CCFNetwork, rows: Rows) -> list[Sequence]:
    """Each row as a sequence of its own."""
    return plan_sequences(rows, network.encoder, network.budget, max_rows=1)


def plain_log_odds(
    network: CCFNetwork, prompts: list[Sequence], rows: Rows, *, exact: bool = False, all_logits: bool = True
) -> Tensor:
    """(N,) fp32 log-odds of the targets of `prompts`, read as one padded batch of separate prompts.

    `exact` computes attention and the two answers' logits in fp64. PyTorch's fused CPU attention is good to 20 bits, a
    logit of 20 to 2e-6; a language model turns both into differences of 1e-5, which would hide what a comparison with
    the plain way is there to find. `all_logits=False` leaves out the logits that nobody reads.
    """
    batch = collate_prompts(prompts).to(network.device)
    padded = network.embed(batch, rows)[batch.index[:, 0]]
    positions = torch.arange(padded.shape[1], device=padded.device)
    hidden = network.llm(padded, positions, None, exact=exact, lift=network.lift(batch.ids[batch.index[:, 0]]))
    last, answers = batch.place[batch.last], list(network.llm.answers)
    if exact or not all_logits:
        logits = hidden.flatten(0, 1)[last].double() @ network.llm.output_rows[answers].double().T
    else:
        logits = F.linear(hidden, network.llm.output_rows.to(hidden.dtype)).flatten(0, 1)[last][:, answers]
    difference: Tensor = logits[:, 0] - logits[:, 1]
    return difference.float()


@torch.no_grad()
def plain_scores(network: CCFNetwork, rows: Rows, *, batch_size: int = 8, exact: bool = False) -> Tensor:
    """(N,) fp32 log-odds of rows, `batch_size` prompts at a time, with the adapter beside the weights."""
    network.eval()
    network.llm.products.undo()
    scores = torch.zeros(len(rows))
    prompts = plan_prompts(network, rows)
    for begin in range(0, len(prompts), batch_size):
        batch = prompts[begin : begin + batch_size]
        scores[[p.rows[0] for p in batch]] = plain_log_odds(network, batch, rows, exact=exact).cpu()
    return scores
