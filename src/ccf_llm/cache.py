"""Where downloaded data and converted models are kept."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The folder named by the environment variable `CCF_LLM_CACHE`, else the user's cache folder of this system."""
    return Path(os.environ.get("CCF_LLM_CACHE") or platformdirs.user_cache_dir("ccf-llm")).expanduser()
