"""Settings of one process, read once from the environment and frozen.

Every variable begins with `HANDSCHLAG_`; `<VARIABLE>_FILE` names a file that holds the value, as container
platforms hand out secrets. A bad value stops the start with `Invalid`, whose problem names the variable and the
remedy; the value itself is not repeated, since two of them hold passwords.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

from environs import EnvError, FileAwareEnv

from shared.clock import SystemClock
from shared.errors import Invalid

Mode = Literal["demo", "production", "test"]
T = TypeVar("T")

PREFIX = "HANDSCHLAG_"
MODES = ("demo", "production", "test")
LOG_LEVELS = ("debug", "info", "warning", "error")
BROKERS = ("inproc", "amqp", "amqps")
DATABASES = ("sqlite", "postgresql", "postgresql+psycopg")
CALL_RULES = Path(__file__).resolve().parent.parent / "contracts" / "calls.yaml"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one process needs to know. `spans` names a file that receives finished spans as JSON lines, `witnesses` the
    policy of the audit log's witnesses (c2sp.org/tlog-policy), `retention` the database with the role that deletes what
    is due; without it the worker deletes nothing by itself.
    """

    mode: Mode = "demo"
    broker: str = field(default="inproc://", repr=False)
    database: str = field(default="sqlite://", repr=False)
    state: Path = Path("state")
    host: str = "127.0.0.1"
    port: int = 8080
    keys: Path = Path("state/keys")
    issuer: str = "http://127.0.0.1:8080"
    clock_shift: timedelta = timedelta(0)
    log_level: str = "info"
    spans: Path | None = None
    call_rules: Path = CALL_RULES
    witnesses: Path | None = None
    retention: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> "Settings":
        """The settings of this process. Raises `Invalid` for the first variable that cannot be right."""
        env = FileAwareEnv(prefix=PREFIX, strip_whitespace=True)
        mode = _read(env.str, "MODE", "demo", _one_of(MODES))
        host = _read(env.str, "HOST", "127.0.0.1", _not_empty)
        port = _read(env.int, "PORT", 8080, _port)
        state = Path(_read(env.str, "STATE", "state", _not_empty))
        spans = _read(env.str, "SPANS", "", str)
        witnesses = _read(env.str, "WITNESSES", "", str)
        settings = cls(
            mode=cast(Mode, mode),
            broker=_read(env.str, "BROKER", "inproc://", _url_of(BROKERS)),
            database=_read(env.str, "DATABASE", "sqlite://", _url_of(DATABASES)),
            state=state,
            host=host,
            port=port,
            keys=Path(_read(env.str, "KEYS", str(state / "keys"), _not_empty)),
            issuer=_read(env.str, "ISSUER", f"http://{host}:{port}", _url_of(("http", "https"))),
            clock_shift=timedelta(days=_read(env.int, "CLOCK_SHIFT", 0, int)),
            log_level=_read(env.str, "LOG_LEVEL", "info", _one_of(LOG_LEVELS)),
            spans=Path(spans) if spans else None,
            witnesses=Path(witnesses) if witnesses else None,
            retention=_read(env.str, "RETENTION", "", _nothing_or(_url_of(DATABASES))),
        )
        _check_together(settings)
        return settings

    def database_url(self, service: str) -> str:
        """One database per service: a SQLite file, or the PostgreSQL database `handschlag_<service>`."""
        if self.database.startswith("sqlite"):
            return f"sqlite:///{self.state / service}.db"
        parts = urlsplit(self.database)
        return parts._replace(scheme="postgresql+psycopg", path=f"/handschlag_{service}").geturl()

    def retention_url(self) -> str:
        """The audit log's database, as the role that deletes what is due. On SQLite there are no roles.

        Raises `Invalid` when that role was not named.
        """
        if self.database.startswith("sqlite"):
            return self.database_url("audit")
        if not self.retention.startswith("postgresql"):
            remedy = "name the database with the role that may delete: postgresql://handschlag_retention@host"
            _refuse("RETENTION", "names nobody who may delete", remedy)
        parts = urlsplit(self.retention)
        return parts._replace(scheme="postgresql+psycopg", path="/handschlag_audit").geturl()

    def clock(self) -> SystemClock:
        """The clock of this process; shifted in a demonstration only."""
        return SystemClock(self.clock_shift)

    @property
    def embedded(self) -> bool:
        """Whether all services share one process and no broker is needed."""
        return self.broker.startswith("inproc:")


def _read(reader: Callable[..., object], name: str, default: T, check: Callable[[T], T]) -> T:
    try:
        return check(cast(T, reader(name, default)))
    except EnvError:
        _refuse(name, "cannot be read", "write a whole number without a fraction")
    except ValueError as error:
        _refuse(name, "cannot be right", str(error))


def _refuse(name: str, detail: str, remedy: str) -> NoReturn:
    variable = PREFIX + name
    raise Invalid("config.invalid", f"{variable} {detail}", remedy, [(f"/{variable}", detail, remedy)]) from None


def _check_together(settings: Settings) -> None:
    if settings.clock_shift and settings.mode != "demo":
        _refuse("CLOCK_SHIFT", "is for the demonstration only", "remove it, or set HANDSCHLAG_MODE=demo")
    if settings.mode != "production":
        return
    if settings.embedded:
        _refuse("BROKER", "joins one process only", "name a RabbitMQ: amqps://user:password@host/vhost")
    if not settings.issuer.startswith("https:"):
        _refuse("ISSUER", "must be protected on its way", "give the https address of the sign-in service")


def _nothing_or(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: check(text) if text else text


def _not_empty(text: str) -> str:
    if not text.strip():
        message = "give a value or remove the variable"
        raise ValueError(message)
    return text


def _port(number: int) -> int:
    if not 0 <= number <= 65535:
        message = "choose a port between 0 and 65535"
        raise ValueError(message)
    return number


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            message = f"choose one of {', '.join(choices)}"
            raise ValueError(message)
        return text

    return check


def _url_of(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        scheme, separator, _ = text.partition("://")
        if not separator or scheme not in schemes:
            message = f"write an address that begins with {', '.join(f'{name}://' for name in schemes)}"
            raise ValueError(message)
        return text

    return check
