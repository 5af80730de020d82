"""(user, history, candidate) -> segments of text and slots -> token ids."""

from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.encoder import ITEM_SLOT, USER_SLOT, PromptEncoder
from ccf_llm.prompts.pack import PromptBatch, Sequence, collate, plan_batches, plan_sequences
from ccf_llm.prompts.template import HybridTemplate, Segment, Slot, Text

__all__ = [
    "ITEM_SLOT",
    "USER_SLOT",
    "HistoryBudget",
    "HybridTemplate",
    "PromptBatch",
    "PromptEncoder",
    "Segment",
    "Sequence",
    "Slot",
    "Text",
    "collate",
    "plan_batches",
    "plan_sequences",
]
