"""(user, history, candidate) -> segments of text and slots -> token ids -> passes through the language model."""

from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.collate import Pass, collate_chains, collate_prompts, collate_targets
from ccf_llm.prompts.encoder import ITEM_SLOT, LEARNED_SLOT, USER_SLOT, PromptEncoder
from ccf_llm.prompts.pack import Sequence, plan_batches, plan_sequences, split_targets
from ccf_llm.prompts.shots import Shot, draw_shots
from ccf_llm.prompts.template import HybridTemplate, Segment, Slot, Text

__all__ = [
    "ITEM_SLOT",
    "LEARNED_SLOT",
    "USER_SLOT",
    "HistoryBudget",
    "HybridTemplate",
    "Pass",
    "PromptEncoder",
    "Segment",
    "Sequence",
    "Shot",
    "Slot",
    "Text",
    "collate_chains",
    "collate_prompts",
    "collate_targets",
    "draw_shots",
    "plan_batches",
    "plan_sequences",
    "split_targets",
]
