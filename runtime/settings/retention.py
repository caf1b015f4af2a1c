"""How long the usage log is kept."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from runtime.settings.fields import Section


class Retention(Section):
    usage_months: int | None = Field(default=None, ge=1, le=1200)
    archive_dir: Path | None = None

    @model_validator(mode="after")
    def _archives_what_is_dropped(self) -> Self:
        if self.archive_dir is not None and self.usage_months is None:
            raise ValueError("archive_dir is for what is dropped: set usage_months")
        return self
