"""The words in which every domain module is written: value, command, event, aggregate, receipt.

Standard library only. A domain module declares what may be asked (commands), what can happen (events) and
who decides (an aggregate: a frozen dataclass with an empty start and `apply`). Nothing here stores or sends.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, Self, TypeVar, dataclass_transform

Json = dict[str, Any]
T = TypeVar("T")
E = TypeVar("E", bound="Event")


class Erased:
    """What stands in place of a personal field after the person's key was destroyed (Art. 17 DSGVO)."""

    def __repr__(self) -> str:
        return "ERASED"

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Erased)

    def __hash__(self) -> int:
        return hash(Erased)


ERASED = Erased()


@dataclass(frozen=True)
class Sealed:
    """Marks a field as personal; `owner` names the field that holds the id of the person it is about."""

    owner: str = "person_id"


Personal = Annotated[T | Erased, Sealed()]
"""A field that is stored and sent sealed with the key of the person named by the field `person_id` beside it.

A field about somebody else is written `Annotated[str | Erased, Sealed("other_person_id")]`.
"""


def known(item: T | Erased, otherwise: T) -> T:
    """A personal value, or `otherwise` where it was erased."""
    return otherwise if isinstance(item, Erased) else item


class Command:
    """What may be asked. Carries everything the decision needs; may arrive twice."""


class Event:
    """What has happened. Never changes once stored; older versions are read through upcasters."""

    version: ClassVar[int] = 1


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """A frozen value, compared by content, built by keyword."""
    return dataclass(frozen=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def command(cls: type[T]) -> type[T]:
    """A command: a value in the imperative."""
    return dataclass(frozen=True, kw_only=True)(cls)


_events: dict[str, type[Event]] = {}
_upcasters: dict[tuple[str, int], Callable[[Json], Json]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(version: int = 1) -> Callable[[type[E]], type[E]]:
    """Register an event under its class name, which is unique over all services, with its present version."""

    def register(cls: type[E]) -> type[E]:
        known = _events.get(cls.__name__)
        if known is not None and known.__module__ != cls.__module__:
            message = f"event {cls.__name__} is declared in {known.__module__} and in {cls.__module__}"
            raise TypeError(message)
        made = dataclass(frozen=True, kw_only=True)(cls)
        made.version = version
        _events[cls.__name__] = made
        return made

    return register


def upcast(cls: type[Event], *, version: int) -> Callable[[Callable[[Json], Json]], Callable[[Json], Json]]:
    """Register a function that turns stored data of `version` into data of `version + 1`."""

    def register(function: Callable[[Json], Json]) -> Callable[[Json], Json]:
        _upcasters[(cls.__name__, version)] = function
        return function

    return register


def event_class(name: str) -> type[Event]:
    """The event of that name; KeyError when nothing of the kind was declared."""
    return _events[name]


def event_classes() -> Mapping[str, type[Event]]:
    """All declared events by name."""
    return dict(_events)


def upcasted(name: str, version: int, data: Json) -> Json:
    """Stored `data` of an event as its present version reads it."""
    for step in range(version, event_class(name).version):
        data = _upcasters[(name, step)](data)
    return data


class Aggregate(Protocol):
    """Decides. An empty one is made without arguments; `apply` never fails and never decides."""

    def apply(self, event: Any, /) -> Self: ...


def category(aggregate: type) -> str:
    """The first part of a stream's name: `CooperationPlan` → `cooperation_plan`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", aggregate.__name__).lower()


@dataclass(frozen=True)
class Receipt:
    """Where a change was written. `version` is the stream's version after it, `position` that of the log."""

    stream: str
    version: int
    position: int


class Recorded(NamedTuple):
    """An event as it stands in the store: `stream` is `<category>-<id>`, `position` counts within one service."""

    agency: str
    stream: str
    category: str
    id: str
    version: int
    position: int
    event: Event
    event_id: str
    recorded_at: datetime
    command_id: str = ""
    actor: str = ""
    trace: str = ""
