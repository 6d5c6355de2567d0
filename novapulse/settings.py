"""Every setting of NovaPulse, typed, read from `NOVAPULSE_*` environment variables.

Nothing else in the code base reads the environment for its own configuration.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from email.utils import parseaddr
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from novapulse.mail.server import parse_smtp_url
from novapulse.security.rates import Rates, parse_domain_rates, parse_rates

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")  # RFC 5321, 4.1.2, without quotes
_DOCKER_SECRETS = "/run/secrets"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_LONGEST_SOCKET_PATH = 100  # bytes; the limit is 108 on Linux, 104 on macOS

Network = IPv4Network | IPv6Network


def _split(value: object) -> object:
    """Accept `a,b c` as well as a JSON-free list for settings that hold several values."""
    if isinstance(value, str):
        return [part for part in value.replace(",", " ").split() if part]
    return value


def _secrets_folders() -> list[Path]:
    """Folders that may hold files named like settings: the one that is set, else Docker's and systemd's."""
    chosen = os.environ.get("NOVAPULSE_SECRETS_DIR")
    usual = [_DOCKER_SECRETS, os.environ.get("CREDENTIALS_DIRECTORY", "")]
    return [Path(name) for name in ([chosen] if chosen else usual) if name and Path(name).is_dir()]


def _header_fields(text: str) -> dict[str, str]:
    """`name=value,name=value`, percent-encoded, as OpenTelemetry's own variables have it."""
    fields: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        fields[name.strip().lower()] = unquote(value.strip())
        if not equals or not _HEADER_NAME.fullmatch(name.strip()) or not fields[name.strip().lower()].isprintable():
            raise ValueError("must be like `name=value,name=value`, percent-encoded")
    return fields


class Settings(BaseSettings):
    """The settings of one process; see `docs/configuration.md` for prose."""

    model_config = SettingsConfigDict(env_prefix="NOVAPULSE_", extra="ignore", frozen=True)

    # Where things are
    secrets_dir: Path | None = Field(
        None,
        description="Folder of files named like settings, each holding one's value; empty: `/run/secrets` and the "
        "folder of systemd's credentials, where they are. A variable of the environment goes before a file.",
    )
    data_dir: Path = Field(Path(".novapulse"), description="Holds the SQLite file, Valkey's data, keys and reports.")
    database_url: str = Field("", description="Postgres or SQLite URL; empty means SQLite in the data folder.")
    redis_url: str = Field(
        "",
        description="Valkey or Redis: `redis://`, `rediss://`, `unix://`, `redis+sentinel://a,b,c/name` or "
        "`redis+cluster://a,b,c`; empty: the embedded Valkey.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Base64 keys of 32 bytes, newest first, comma-separated; empty: `secret.key` in the data folder.",
    )

    # Serving
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    public_url: str = Field("", description="How browsers reach NovaPulse, e.g. https://hooks.example.com.")
    allowed_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Further origins from which browsers may call, besides the public URL."
    )
    trusted_proxy_hops: int = Field(0, ge=0, le=10, description="How many reverse proxies stand in front.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="`auto`: text on a terminal, else JSON.")

    # First admin
    admin_email: str = Field("", description="Makes the first admin at the first start, with the password below.")
    admin_password: SecretStr = Field(SecretStr(""), description="Password of the first admin.")

    # Deliveries
    allow_private_networks: Annotated[list[Network], NoDecode] = Field(
        default_factory=list, description="CIDRs that deliveries may reach although they are private."
    )
    allowed_ports: Annotated[list[int], NoDecode] = Field(
        default_factory=list, description="Ports deliveries may use; empty means any from 1 to 65535."
    )
    worker_concurrency: int = Field(256, ge=1, le=10_000, description="Deliveries one worker process sends at once.")
    webhook_concurrency: int = Field(
        32, ge=1, le=1_000, description="Deliveries one worker sends at once to one webhook."
    )
    max_body_bytes: int = Field(256 * 1024, ge=1024, description="Largest request body the API takes, in bytes.")
    max_batch_bytes: int = Field(4 * 1024**2, ge=1024, description="Largest body of a batch of events, in bytes.")
    disable_after_s: int = Field(
        5 * 24 * 3600, ge=60, description="A webhook with only failures for this many seconds is disabled."
    )

    event_retention_days: int = Field(
        90, ge=1, description="Deliveries are kept this long after they ended, and events as long as their deliveries."
    )
    attempt_retention_days: int = Field(
        30, ge=1, description="What was sent and answered, attempt by attempt, is kept this long."
    )

    # Sessions
    session_idle_s: int = Field(24 * 3600, ge=60, description="A session unused for this many seconds ends.")
    session_max_s: int = Field(14 * 24 * 3600, ge=60, description="A session older than this many seconds ends.")

    # Rate limits; "off" for none
    limit_sign_in: Annotated[Rates, NoDecode] = Field(
        parse_rates("60/60s 600/3600s"), description="Tries to sign in: per network, known device or signed-in user."
    )
    limit_sign_in_all: Annotated[Rates, NoDecode] = Field(
        parse_rates("600/60s"), description="Tries to sign in of all who come from no known device, together."
    )
    limit_sensitive: Annotated[Rates, NoDecode] = Field(
        parse_rates("120/60s"), description="Calls that change what protects an account, per user or key."
    )
    limit_api: Annotated[Rates, NoDecode] = Field(parse_rates("1200/60s"), description="Other calls, per user or key.")
    limit_ingest: Annotated[Rates, NoDecode] = Field(
        parse_rates("300000/60s"), description="Events taken in, per user or key."
    )
    limit_screen: Annotated[Rates, NoDecode] = Field(
        parse_rates("1200/60s"), description="What people do on open pages, per session."
    )
    limit_public: Annotated[Rates, NoDecode] = Field(
        parse_rates("600/60s"), description="Calls without credentials that work, per network."
    )

    # Mail
    smtp_url: SecretStr = Field(
        SecretStr(""), description="smtp[s]://user:password@host:port; empty means no mail is sent."
    )
    mail_from: str = Field("", description="Sender, e.g. NovaPulse <novapulse@example.com>; empty: by the public URL.")
    mail_domain_limits: Annotated[dict[str, Rates], NoDecode] = Field(
        default_factory=dict,
        description="Messages per receiving domain, e.g. `gmail.com=20/1s 1000/1h; *=100/60s`; `*` is each other one.",
    )
    mail_content_days: int = Field(
        7, ge=0, description="What a message said can be read for this many days after it is over; 0: no longer."
    )
    mail_retention_days: int = Field(30, ge=1, description="Messages are remembered for this many days.")
    max_mail_bytes: int = Field(
        10 * 1024**2,
        ge=1024,
        description="Largest body of an e-mail with its attachments that the API takes, in bytes.",
    )

    # Reports
    reports_dir: Path | None = Field(
        None, description="Folder of finished reports, shared by all machines; empty: `reports` in the data folder."
    )
    report_concurrency: int = Field(2, ge=1, le=100, description="Reports one worker process makes at once.")
    report_retention_days: int = Field(30, ge=1, description="A report's file is deleted after this many days.")
    report_mail_max_bytes: int = Field(
        8 * 1024**2, ge=0, description="A larger report is not attached to its e-mail, which then links to it."
    )

    # Backups
    backup_every_h: float | None = Field(
        None, gt=0, description="A backup is made every so many hours by the scheduler; empty: none is."
    )
    backup_dir: Path | None = Field(
        None, description="Folder of backups; empty: `backups` in the data folder, which goes with the disk."
    )
    backup_keep: int = Field(14, ge=1, description="How many backups the scheduler keeps in that folder.")
    backup_passphrase: SecretStr = Field(
        SecretStr(""), description="Locks the keys within a backup; empty: scheduled backups hold no keys."
    )

    # Workers
    workers: int = Field(1, ge=1, le=64, description="Worker processes that `novapulse up` starts.")
    shutdown_timeout_s: float = Field(10.0, gt=0, description="How long a stopping process lets running work finish.")
    drain_s: float = Field(
        0.0, ge=0, description="How long a stopping web process goes on serving after it says that it is not ready."
    )
    probe_host: str = Field("127.0.0.1", description="Address on which a worker or scheduler answers probes.")
    probe_port: int = Field(
        0, ge=0, le=65535, description="Port on which a worker or scheduler answers probes and gives metrics; 0: none."
    )
    heartbeat_ttl_s: float = Field(6.0, gt=0.5, description="A worker silent for this many seconds counts as dead.")
    job_concurrency: int = Field(16, ge=1, le=1_000, description="Jobs of a queue that a worker process runs at once.")
    email_concurrency: int = Field(
        0, ge=0, le=1_000, description="The same of queue `email` alone; 0: as `NOVAPULSE_JOB_CONCURRENCY`."
    )
    workflow_concurrency: int = Field(
        0, ge=0, le=1_000, description="The same of queue `workflow` alone; 0: as `NOVAPULSE_JOB_CONCURRENCY`."
    )
    task_modules: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Python modules that declare tasks of your own."
    )
    run_retention_days: int = Field(30, ge=1, description="Runs of workflows are kept this long after they ended.")
    job_retention_days: int = Field(7, ge=1, description="Jobs that ended well are kept this long; dead ones 4 times.")

    # Health of queues
    queue_stalled_s: float = Field(
        60.0, gt=0, description="A queue in which jobs wait and none ended for this many seconds is stalled."
    )
    queue_oldest_s: float = Field(
        300.0, gt=0, description="A queue whose oldest due job has waited this many seconds is degraded."
    )
    queue_error_rate: float = Field(
        0.2, gt=0, le=1, description="A queue is degraded when this share of the last minute's attempts failed."
    )
    queue_growing_s: float = Field(
        120.0, ge=10, description="A queue whose backlog grew for this many seconds is degraded."
    )
    queue_growing_min: int = Field(100, ge=1, description="A backlog of fewer jobs than this is not called growing.")

    # Logs and traces
    log_levels: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Levels of single modules, e.g. `novapulse.webhooks=debug, sqlalchemy.engine=info`.",
    )
    access_log_sample: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the calls that went well that the access log keeps; of others, all.",
    )
    otlp_endpoint: str = Field(
        "", description="Collector of traces (OTLP over HTTP), e.g. http://127.0.0.1:4318; empty: none are exported."
    )
    otlp_headers: SecretStr = Field(
        SecretStr(""), description="Headers for the collector, e.g. `authorization=Bearer%20abc,x-team=ops`."
    )
    trace_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of traces that are exported, unless who called says so of their own."
    )
    trace_service_name: str = Field(
        "novapulse",
        min_length=1,
        max_length=100,
        description="Service of the traces, before `-web`, `-worker`, ...",
    )
    trace_instance: str = Field("", description="Instance of the traces' service; empty: host name and process id.")
    trace_url: str = Field(
        "", description="Where people look at a trace, e.g. https://jaeger.example.com/trace/{trace_id}."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names them
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where settings come from, first found first taken: arguments, the environment, files of secrets."""
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=_secrets_folders())

    @field_validator("secrets_dir")
    @classmethod
    def _secrets_dir(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("there is no such folder")
        return value

    @field_validator("allow_private_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        parts = _split(value)
        if not isinstance(parts, list):
            return parts
        return [ip_network(part, strict=False) if isinstance(part, str) else part for part in parts]

    @field_validator("allowed_origins", "allowed_ports", "task_modules", mode="before")
    @classmethod
    def _lists(cls, value: object) -> object:
        return _split(value)

    @field_validator(
        "limit_sign_in",
        "limit_sign_in_all",
        "limit_sensitive",
        "limit_api",
        "limit_ingest",
        "limit_screen",
        "limit_public",
        mode="before",
    )
    @classmethod
    def _rates(cls, value: object) -> object:
        return parse_rates(value) if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("log_levels", mode="before")
    @classmethod
    def _log_levels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = (part.strip().partition("=") for part in value.split(",") if part.strip())
        levels = {name.strip(): level.strip().lower() for name, _, level in pairs}
        if not all(name and level in ("debug", "info", "warning", "error") for name, level in levels.items()):
            raise ValueError("must be like `novapulse.webhooks=debug, sqlalchemy.engine=info`")
        return levels

    @field_validator("otlp_endpoint")
    @classmethod
    def _otlp_endpoint(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be like http://127.0.0.1:4318")
        if "@" in parts.netloc or parts.query:
            raise ValueError("must hold no credentials: they belong in NOVAPULSE_OTLP_HEADERS")
        return value

    @field_validator("otlp_headers")
    @classmethod
    def _otlp_headers(cls, value: SecretStr) -> SecretStr:
        _header_fields(value.get_secret_value())
        return value

    @field_validator("trace_url")
    @classmethod
    def _trace_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or "{trace_id}" not in value):
            raise ValueError("must start with http:// or https://, and hold {trace_id}")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse_smtp_url(value.get_secret_value())
        return value

    @field_validator("mail_domain_limits", mode="before")
    @classmethod
    def _domain_limits(cls, value: object) -> object:
        return parse_domain_rates(value) if isinstance(value, str) else value

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, value: str) -> str:
        plain = _PLAIN_ADDRESS.fullmatch(parseaddr(value)[1]) and value.isprintable()
        if value and not plain:
            raise ValueError("must be an address such as NovaPulse <novapulse@example.com>")
        return value

    @cached_property
    def otlp_header_fields(self) -> dict[str, str]:
        """The headers for the collector of traces."""
        return _header_fields(self.otlp_headers.get_secret_value())

    def trace_address(self, trace_id: str) -> str:
        """Where people look at a trace; empty: nowhere."""
        return self.trace_url.replace("{trace_id}", trace_id)

    @cached_property
    def mail_sender(self) -> str:
        """Whom mail comes from: as set, or `novapulse@` the host name of the public URL."""
        host = urlsplit(self.base_url).hostname or ""
        named = _PLAIN_ADDRESS.fullmatch(f"novapulse@{host}") is not None and any(c.isalpha() for c in host)
        return self.mail_from or f"NovaPulse <novapulse@{host if named else 'localhost'}>"

    @cached_property
    def mail_domain(self) -> str:
        """What is behind the @ of the sender: the name under which mail servers are greeted."""
        return parseaddr(self.mail_sender)[1].rpartition("@")[2]

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL with its async driver."""
        url = self.database_url
        if not url:
            return f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'novapulse.db'}"
        for plain, driver in (
            ("postgresql://", "postgresql+asyncpg://"),
            ("postgres://", "postgresql+asyncpg://"),
            ("sqlite://", "sqlite+aiosqlite://"),
        ):
            if url.startswith(plain):
                return driver + url.removeprefix(plain)
        return url

    @cached_property
    def reports(self) -> Path:
        """Where finished reports are."""
        return self.reports_dir or self.data_dir / "reports"

    @cached_property
    def backups(self) -> Path:
        """Where backups are put that are not given a place."""
        return self.backup_dir or self.data_dir / "backups"

    @cached_property
    def valkey(self) -> str:
        """The Valkey URL: the one that was set, or the embedded server's unix socket."""
        return self.redis_url or f"unix://{self.valkey_socket}"

    @cached_property
    def valkey_socket(self) -> Path:
        """Unix socket of the embedded Valkey; outside a data folder whose path is too long for one."""
        inside = self.data_dir.resolve() / "valkey" / "valkey.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"novapulse-{os.getuid()}-{digest}" / "valkey.sock"

    @cached_property
    def base_url(self) -> str:
        """The address to print and to put in links."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
