"""Settings of the prompt."""

from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.settings import Settings


class PromptConfig(Settings):
    """The prompt."""

    template: HybridTemplate = HybridTemplate()
    """Which slots; history items as titles or as slots alone; examples; learned vectors."""
    history: HistoryBudget = HistoryBudget()
    """How much history, in items and in tokens."""
