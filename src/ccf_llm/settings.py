"""`Settings`: what every group of settings is."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings that were checked: they cannot be changed, and a name that is not known is refused.

    The modules that define them load nothing heavy, so that a faulty configuration is refused at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
