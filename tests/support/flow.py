"""Two small services that know each other, for tests of calls, messages and the relay. Import after `patch()`."""

from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from shared import runtime
from shared.config import Settings
from shared.database import Database
from shared.domain import Event as DomainEvent
from shared.domain import Personal, Receipt, Recorded, command, event, value
from shared.errors import Refused
from shared.eventstore import Projection, create_all
from shared.identity import Caller, create_identities
from shared.messaging import Handler, Message

CALLER = Caller(service="gateway", actor="anna", role="case_worker", agency="jobcenter", purpose="counselling")
RULES = """
gateway:
  bell: [ring, greet, fail, refuse]
  echo: [ask_back, heard]
bell:
  echo: [ask_back]
echo:
  bell: [greet]
"""


@command
class Ring:
    bell_id: str
    times: int = 1


@command
class Greet:
    person_id: str
    name: Personal[str]


@value
class Greeting:
    person_id: str
    text: Personal[str]
    plain: str = "hello"


@value
class Heard:
    ids: tuple[str, ...]


@value
class Nothing:
    pass


@event(version=1)
class BellRung(DomainEvent):
    times: int


@dataclass(frozen=True)
class Bell:
    rung: int = 0

    def ring(self, times: int) -> list[DomainEvent]:
        return [BellRung(times=1) for _ in range(times)]

    def apply(self, event: DomainEvent) -> "Bell":
        return replace(self, rung=self.rung + 1)


rung = sa.Table(
    "rung_bells",
    sa.MetaData(),
    sa.Column("stream", sa.String, primary_key=True),
    sa.Column("times", sa.Integer),
)
heard = sa.Table(
    "heard_bells",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("bell", sa.String),
)


def rung_bells(tx: sa.Connection, record: Recorded) -> None:
    before = tx.execute(sa.select(rung.c.times).where(rung.c.stream == record.stream)).scalar() or 0
    tx.execute(sa.delete(rung).where(rung.c.stream == record.stream))
    tx.execute(sa.insert(rung).values(stream=record.stream, times=before + 1))


class BellService:
    name = "bell"

    store = runtime.store()
    calls = runtime.calls()

    @runtime.rpc
    def ring(self, command: Ring, caller: Caller) -> Receipt:
        return self.store.agency(caller.agency).change(
            Bell,
            command.bell_id,
            lambda bell: bell.ring(command.times),
            command_id=caller.command_id,
            trace=caller.trace,
        )

    @runtime.rpc
    def greet(self, command: Greet, caller: Caller) -> Greeting:
        return Greeting(person_id=command.person_id, text=f"good day, {command.name}")

    @runtime.rpc
    def fail(self, command: Nothing, caller: Caller) -> None:
        message = "the secret text of an exception"
        raise ValueError(message)

    @runtime.rpc
    def refuse(self, command: Nothing, caller: Caller) -> None:
        raise Refused("bell.broken", "it does not ring", "mend it", [("/times", "too many", "fewer")])


class EchoService:
    name = "echo"

    calls = runtime.calls()
    database = runtime.database()

    @runtime.rpc
    def ask_back(self, command: Greet, caller: Caller) -> Greeting:
        return self.calls.ask("bell", "greet", command, Greeting, caller=caller)

    @runtime.rpc
    def heard(self, command: Nothing, caller: Caller) -> Heard:
        with self.database.read() as tx:
            return Heard(ids=tuple(tx.execute(sa.select(heard.c.bell).order_by(heard.c.number)).scalars()))


@value
class RungBell:
    bell: str


def outbound(record: Recorded) -> Message | None:
    return Message(
        id="",
        type="bell.BellRung.v1",
        agency=record.agency,
        data={"bell": record.id, "position": record.position},
    )


def note(_context: object, tx: sa.Connection, seen: RungBell, _message: Message) -> None:
    tx.execute(sa.insert(heard).values(bell=seen.bell))


BELL = runtime.ServiceDefinition(
    "bell",
    BellService,
    runtime.Work(projections=(Projection("rung_bells", rung.metadata, rung_bells),), outbound=outbound),
)
ECHO = runtime.ServiceDefinition(
    "echo", EchoService, runtime.Work(inbound={"bell.BellRung.v1": Handler(RungBell, note)})
)


def prepare(state: Path, broker: str, *, bell: str = "bell", echo: str = "echo", rules: str = RULES) -> Settings:
    """Keys, rules and tables of a small installation under `state`; the two services may have other names."""
    create_identities(state / "keys", ["gateway", bell, echo])
    (state / "calls.yaml").write_text(rules, encoding="utf-8")
    settings = settings_of(state, broker)
    for service, table in ((bell, rung), (echo, heard)):
        held = Database(settings.database_url(service))
        create_all(held)
        with held.write() as tx:
            table.metadata.create_all(tx)
        held.close()
    return settings


def settings_of(state: Path, broker: str) -> Settings:
    return Settings(mode="test", broker=broker, state=state, keys=state / "keys", call_rules=state / "calls.yaml")
