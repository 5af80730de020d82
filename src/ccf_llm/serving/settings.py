"""Limits and keys of the server."""

import os
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from ccf_llm.settings import Settings

API_KEYS = "CCF_LLM_API_KEYS"
ADMIN_KEY = "CCF_LLM_ADMIN_KEY"


class ServeSettings(Settings):
    """Limits, and who may ask. Keys are read from the environment, for a command line can be seen by all."""

    retrieve: int = Field(default=20, ge=1, le=200)
    """How many of CF's best items the language model re-ranks, where a request does not name its candidates."""
    deadline_ms: int = Field(default=1500, ge=10, le=60_000)
    """After which the CF answer is given, where a request does not say."""
    waiting: int = Field(default=64, ge=1)
    """Most requests that wait for the language model; further ones get 503."""
    in_flight: int = Field(default=100, ge=1)
    """Most requests of any kind at a time, those whose body is still coming among them; further ones get 503."""
    body_bytes: int = Field(default=256 * 1024, ge=1024)
    """Longest request body; longer ones get 413."""
    body_seconds: float = Field(default=10, gt=0)
    """How long a request body may take to arrive; slower ones get 408."""
    added_items: int = Field(default=10_000, ge=0)
    """Most items that may be added over HTTP; further ones get 409."""
    follow_seconds: float = Field(default=1, gt=0)
    """How often a server of a PostgreSQL store looks what other servers of it have erased, added or reloaded."""
    api_keys: frozenset[str] = frozenset()
    """One of these in the header X-API-Key opens /v1; without any, /v1 is open to all who reach the port."""
    admin_key: str | None = None
    """Opens /v1/admin and POST /v1/items; without it, they are closed."""
    public: bool = False
    """Whether others than this machine can reach the port."""

    @property
    def may_erase(self) -> bool:
        """Whether people may be erased: not by anybody who finds the port."""
        return bool(self.api_keys) or not self.public

    @classmethod
    def with_keys_of(cls, environment: Mapping[str, str] = os.environ, **limits: Any) -> Self:
        """These limits, with the keys in CCF_LLM_API_KEYS (between commas) and CCF_LLM_ADMIN_KEY."""
        keys = frozenset(key.strip() for key in environment.get(API_KEYS, "").split(",") if key.strip())
        return cls(api_keys=keys, admin_key=environment.get(ADMIN_KEY) or None, **limits)
