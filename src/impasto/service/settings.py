"""Everything about the service that can be set: by flags, by ``IMPASTO_*`` variables, or in a TOML file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Pydantic reads the annotations
from typing import ClassVar

import platformdirs
from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    """The settings of the service; a flag wins over a variable, and that over the file."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="IMPASTO_", toml_file="impasto.toml", frozen=True, extra="forbid", env_ignore_empty=True
    )

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("impasto") / "service",
        description="Folder of everything that the service keeps.",
    )
    database: str | None = Field(
        None,
        description="Where jobs are kept, such as postgresql+psycopg://user@host/name. Not given: a file in the data "
        "folder.",
    )
    workers: int = Field(1, ge=0, le=256, description="Worker processes that 'impasto serve' starts.")
    queues: tuple[str, ...] = Field(("cpu",), description="Which jobs the workers take.")
    lease: float = Field(30.0, gt=0, description="Seconds after which a silent worker is given up.")
    poll: float = Field(0.05, gt=0, description="Seconds between two looks for work.")
    job_seconds: float = Field(900.0, gt=0, description="Longest time that painting may take.")
    job_memory: int = Field(8 << 30, gt=0, description="Largest memory of a process that paints, in bytes.")
    warm_engines: int = Field(4, ge=1, description="Networks that a worker keeps in memory.")

    @property
    def database_url(self) -> str:
        """The database, with its default."""
        return self.database or f"sqlite:///{self.data_dir / 'jobs.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the flags first, then the variables, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
