"""Terms that come with some base models' weights: shown, and accepted once by whoever uses them."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ccf_llm.errors import CCFError
from ccf_llm.io.cache import cache_folder
from ccf_llm.io.fetch import announce
from ccf_llm.io.files import write_json

VARIABLE = "CCF_LLM_ACCEPT_TERMS"
"""Environment variable: the keys of the terms that are accepted, with commas between them."""


@dataclass(frozen=True)
class Terms:
    """What a model may be used for, in the words of its makers."""

    key: str
    """What accepts them."""
    title: str
    url: str
    limits: str
    """Where they say what the model must not be used for."""

    @property
    def how_to_accept(self) -> str:
        """What to read and what to do, in a clause."""
        return (
            f"{self.title} ({self.url}; limits of use: {self.limits}); read them, then set {VARIABLE}={self.key} once"
        )

    @property
    def accepted(self) -> bool:
        """Whether somebody has accepted them for this cache, or does so now."""
        return self._note.is_file() or self._named

    def require(self, model: str) -> None:
        """Let `model` be used where its terms are accepted, and note the first time in the cache folder.

        Raises:
            CCFError: they are not.
        """
        if self._note.is_file():
            return
        if not self._named:
            raise CCFError(f"model {model!r} comes under the {self.how_to_accept}")
        write_json(self._note, {"title": self.title, "url": self.url, "accepted": datetime.now(UTC).isoformat()})
        announce(f"{model}: {self.title} ({self.url}) accepted by {VARIABLE}; noted in {self._note}")

    @property
    def _note(self) -> Path:
        return cache_folder() / "terms" / f"{self.key}.json"

    @property
    def _named(self) -> bool:
        return self.key in os.environ.get(VARIABLE, "").replace(" ", "").split(",")


GEMMA = Terms(
    key="gemma",
    title="Gemma Terms of Use",
    url="https://ai.google.dev/gemma/terms",
    limits="https://ai.google.dev/gemma/prohibited_use_policy",
)
