"""The words of the domain: values, events and their versions, names of streams."""

from dataclasses import FrozenInstanceError, dataclass

import pytest

from shared.domain import (
    ERASED,
    Command,
    Erased,
    Event,
    Receipt,
    category,
    command,
    event,
    event_class,
    event_classes,
    upcast,
    upcasted,
    value,
)
from tests.support.notebook import Notebook, NotebookOpened, NoteTaken


@value
class Colour:
    name: str


@command
class Paint(Command):
    colour: Colour


@event(version=3)
class WallPainted(Event):
    colour: Colour


@upcast(WallPainted, version=1)
def colour_was_called_tint(data: dict[str, object]) -> dict[str, object]:
    return {"shade": data["tint"]}


@upcast(WallPainted, version=2)
def shade_became_colour(data: dict[str, object]) -> dict[str, object]:
    return {"colour": {"name": data["shade"]}}


def test_values_are_equal_by_content_and_never_change() -> None:
    red = Colour(name="red")
    assert red == Colour(name="red")
    assert hash(red) == hash(Colour(name="red"))
    with pytest.raises(FrozenInstanceError):
        red.name = "blue"  # type: ignore[misc]


def test_what_is_asked_and_what_happened_is_built_by_keyword() -> None:
    with pytest.raises(TypeError):
        Colour("red")  # type: ignore[misc]
    assert Paint(colour=Colour(name="red")).colour.name == "red"


def test_an_event_is_found_by_its_name() -> None:
    assert event_class("WallPainted") is WallPainted
    assert event_classes()["NoteTaken"] is NoteTaken
    assert WallPainted.version == 3
    assert NotebookOpened.version == 1
    with pytest.raises(KeyError):
        event_class("NeverDeclared")


def test_one_name_belongs_to_one_event() -> None:
    class WallPainted(Event):
        pass

    WallPainted.__module__ = "somewhere.else"
    with pytest.raises(TypeError, match=r"somewhere\.else"):
        event(version=1)(WallPainted)


def test_older_data_climbs_every_step_to_the_present_version() -> None:
    assert upcasted("WallPainted", 1, {"tint": "red"}) == {"colour": {"name": "red"}}
    assert upcasted("WallPainted", 2, {"shade": "red"}) == {"colour": {"name": "red"}}
    assert upcasted("WallPainted", 3, {"colour": {"name": "red"}}) == {"colour": {"name": "red"}}


def test_a_missing_step_is_an_error_and_not_a_guess() -> None:
    @event(version=2)
    class StepMissing(Event):
        pass

    with pytest.raises(KeyError):
        upcasted("StepMissing", 1, {})


def test_streams_are_named_after_the_noun() -> None:
    @dataclass(frozen=True)
    class CooperationPlan:
        pass

    assert category(CooperationPlan) == "cooperation_plan"
    assert category(Notebook) == "notebook"


def test_erased_is_one_thing_and_stands_for_nothing() -> None:
    assert Erased() == ERASED
    assert len({Erased(), ERASED}) == 1
    assert ERASED != "ERASED"
    assert not ERASED
    assert repr(ERASED) == "ERASED"


def test_a_receipt_names_stream_version_and_position() -> None:
    assert Receipt("notebook-1", 2, 7) == Receipt(stream="notebook-1", version=2, position=7)
