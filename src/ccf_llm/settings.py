"""`Settings`: what every group of settings and every record is, and paths as they stand in settings."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

PathText = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path or a name; `~` at its start is the user's home folder."""
PathSetting = Annotated[Path, AfterValidator(lambda path: Path(os.path.expanduser(path)))]
"""A path; `~` at its start is the user's home folder."""


class Settings(BaseModel):
    """Settings and records that were checked: they cannot be changed, and a name that is not known is refused.

    The modules that define them load nothing heavy, so that a faulty configuration is refused at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
