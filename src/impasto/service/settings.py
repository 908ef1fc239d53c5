"""Settings of the service, from flags, ``IMPASTO_*`` variables or a TOML file."""

from __future__ import annotations

import base64
import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import platformdirs
from pydantic import Field, IPvAnyNetwork, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from impasto.errors import UsageError

_FILE = "impasto.toml"
LogFormat = Literal["text", "json"]
WRITTEN_AS_BASE64 = "whsec_"
"""Prefix of a webhook secret that is written in base64: https://www.standardwebhooks.com."""
_SHORTEST_KEY = 24
"""Shortest key of webhooks in bytes, by the same standard."""


def _data_dir() -> Path:
    try:
        folder = platformdirs.user_data_path("impasto") / "service"
    except RuntimeError:  # newer versions raise, older ones return a relative path
        folder = Path()
    if not folder.is_absolute():
        raise UsageError("there is no home folder in which the service could keep its data; set IMPASTO_DATA_DIR")
    return folder


class Settings(BaseSettings):
    """The settings of the service. Flags take precedence over variables, and variables over the file."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="IMPASTO_", toml_file=_FILE, frozen=True, extra="forbid", env_ignore_empty=True
    )

    data_dir: Path = Field(
        default_factory=_data_dir,
        description="Folder of everything that the service keeps.",
    )
    database: str | None = Field(
        None,
        description="Where jobs are kept, such as postgresql+psycopg://user@host/name. Not given: a file in the data "
        "folder.",
    )
    blobs: str | None = Field(
        None, description="Where pictures are kept, such as s3://bucket/folder. Not given: in the data folder."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8765, ge=0, le=65535, description="Port to listen on.")
    root_path: str = Field(
        "",
        pattern=r"^((/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)?$",
        description="Path under which a proxy offers the service, such as /paint; no path of the service may begin "
        "with it. Not given: what a trusted proxy says in X-Forwarded-Prefix, or none.",
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (IPv4Network("127.0.0.1"), IPv6Network("::1")),
        description="Addresses or networks of proxies whose X-Forwarded-Prefix is believed.",
    )
    auth: bool = Field(
        False, description="Require API keys; must be on unless the service listens on a loopback address."
    )
    secret: str | None = Field(
        None,
        min_length=32,
        repr=False,
        description="Signs links to results; the data folder keeps one by default.",
    )
    cors: tuple[str, ...] = Field((), description="Origins of other sites that may use the API from a browser.")
    max_upload: int = Field(20 << 20, gt=0, description="Largest request in bytes.")
    max_size: int = Field(4096, ge=16, description="Largest long side of a result in pixels.")
    max_steps: int = Field(2000, ge=1, description="Most steps of an optimisation.")
    max_styles: int = Field(4, ge=1, description="Most styles that are mixed in one picture.")
    quota: int = Field(10 << 30, gt=0, description="Bytes of pictures, kept or reserved; beyond, no jobs are taken.")
    per_minute: int = Field(600, ge=1, description="Jobs that one tenant may send in a minute, to one process.")
    mails_per_hour: int = Field(60, ge=1, description="E-mails to one address in an hour, asked of one process.")
    backlog: int = Field(10_000, ge=1, description="Jobs that may wait at once.")
    tenant_backlog: int = Field(1000, ge=1, description="Jobs of one tenant that may wait at once.")
    tenant_running: int = Field(0, ge=0, description="Jobs of one tenant that are painted at once; 0 for no limit.")
    keep_inputs: float = Field(24 * 3600.0, gt=0, description="Seconds that pictures are kept after their job.")
    keep_results: float = Field(7 * 24 * 3600.0, gt=0, description="Seconds that results are kept.")
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+[^\s]*$",
        description="Address of the service in links that are sent. Not given: made of host, port and root path.",
    )
    smtp_host: str | None = Field(None, description="Server that sends e-mail; none is sent if not given.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port.")
    smtp_starttls: bool = Field(True, description="Encrypt what is sent to it.")
    smtp_user: str | None = Field(None, description="Name to log in with.")
    smtp_password: str | None = Field(None, repr=False, description="Password to log in with.")
    mail_from: str = Field("impasto <impasto@localhost>", description="Sender of e-mails.")
    webhook_secret: str | None = Field(
        None,
        min_length=_SHORTEST_KEY,
        repr=False,
        description="Signs webhooks: 'whsec_' and base64 of 24 bytes or more, or any text of 24 characters or more; "
        "none are sent if not given.",
    )
    webhook_private: bool = Field(False, description="Allow webhooks to hosts that are not on the public internet.")
    workers: int = Field(1, ge=0, le=256, description="Worker processes that 'impasto serve' starts.")
    broker: str | None = Field(
        None,
        description="Redis that tells workers about jobs through Celery, such as redis://host:6379/0. Not given: "
        "workers look for themselves.",
    )
    slots: int = Field(4, ge=1, description="Workers on all machines, about: how many hints the broker holds.")
    queues: tuple[str, ...] = Field(("cpu",), description="Which jobs the workers take.")
    engine_queues: dict[str, Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9_-]+$")]] = Field(
        {},
        description='Which queue the jobs of an engine wait in if not in \'cpu\', such as {"gatys": "gpu"} for workers '
        "with --queue gpu.",
    )
    lease: float = Field(30.0, gt=0, le=3600, description="Seconds after which a silent worker is given up.")
    job_seconds: float = Field(900.0, gt=0, description="Longest time that painting may take.")
    job_memory: int = Field(8 << 30, gt=0, description="Largest memory of a process that paints, in bytes.")
    log_format: LogFormat = Field("text", description="Lines for people, or JSON for programs.")

    @property
    def is_public(self) -> bool:
        """True if other machines can reach the service."""
        return self.host not in ("127.0.0.1", "::1", "localhost")

    @property
    def database_url(self) -> str:
        """URL of the database; by default, of a file in the data folder."""
        return self.database or f"sqlite:///{self.data_dir / 'jobs.db'}"

    @property
    def public_url(self) -> str:
        """Address of the service for people, without '/' at the end."""
        if self.base_url is not None:
            return self.base_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.root_path}"

    @field_validator("webhook_secret")
    @classmethod
    def _readable(cls, secret: str | None) -> str | None:
        if secret is not None and secret.startswith(WRITTEN_AS_BASE64):
            try:
                key = base64.b64decode(secret.removeprefix(WRITTEN_AS_BASE64), validate=True)
            except ValueError:
                raise ValueError(f"what follows {WRITTEN_AS_BASE64!r} is not base64") from None
            if len(key) < _SHORTEST_KEY:
                raise ValueError(f"what follows {WRITTEN_AS_BASE64!r} is base64 of fewer than {_SHORTEST_KEY} bytes")
        return secret

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
        # pathlib, which pydantic uses, raises an error for a file in a folder that is closed to the user.
        file = _FILE if os.path.exists(_FILE) else None  # noqa: PTH110
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)
