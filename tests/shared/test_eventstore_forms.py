"""The store's own way to write and read events says exactly what the schema says."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from shared.canonical import canonical
from shared.domain import Event, Personal, event, value
from shared.errors import Invalid
from shared.eventstore.codec import _bound_to
from shared.eventstore.forms import read_event, write_event
from shared.schema import dump, map_personal, parse_event
from tests.shared.test_schema import INNER, WHOLE, Everything, Inner, wholes
from tests.support.notebook import NotebookOpened, NoteTaken


@event(version=1)
class EverythingHappened(Event):
    whole: Everything
    more: Mapping[str, Inner] | None = None


def seal(item: Any, owner: str, pointer: str) -> Any:
    return [item, owner, pointer]


def left_open(item: Any, owner: str, pointer: str) -> Any:
    return item


@given(wholes)
def test_an_event_is_written_as_the_schema_dumps_it(whole: Everything) -> None:
    happened = EverythingHappened(whole=whole)
    assert write_event(happened, left_open) == dump(happened)


@given(wholes)
def test_the_same_fields_are_sealed_as_the_schema_finds(whole: Everything) -> None:
    happened = EverythingHappened(whole=whole)

    def unless_erased(item: Any, owner: str, pointer: str) -> Any:
        return item if item == {"$erased": True} else seal(item, owner, pointer)

    assert write_event(happened, seal) == map_personal(EverythingHappened, dump(happened), unless_erased)


@given(wholes)
def test_an_event_is_read_as_the_schema_parses_it(whole: Everything) -> None:
    happened = EverythingHappened(whole=whole)
    data = dump(happened)
    assert read_event("EverythingHappened", 1, data) == parse_event("EverythingHappened", 1, data) == happened
    assert dump(happened) == data


def test_values_by_name_are_sealed_and_read_too() -> None:
    happened = EverythingHappened(whole=WHOLE, more={"a/b": INNER, "1": INNER})
    data = write_event(happened, seal)
    assert data["more"]["a/b"]["name"] == ["Erika", "p-1", "/more/a~1b/name"]
    assert read_event("EverythingHappened", 1, write_event(happened, left_open)) == happened


def test_a_field_that_was_added_with_a_default_is_filled_in() -> None:
    data = {key: item for key, item in dump(WHOLE).items() if key not in {"words", "maybe", "about_other"}}
    read = read_event("EverythingHappened", 1, {"whole": data})
    assert read == parse_event("EverythingHappened", 1, {"whole": data})


@pytest.mark.parametrize("data", [{}, {"title": "x", "more": 1}, {"titel": "x"}])
def test_what_does_not_fit_is_named_as_the_schema_names_it(data: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        read_event("NotebookOpened", 1, data)
    assert refusal.value.code == "event.invalid"
    assert refusal.value.problems


def test_older_events_are_lifted() -> None:
    assert read_event("NoteTaken", 1, {"person_id": "p", "words": "x"}) == parse_event(
        "NoteTaken", 1, {"person_id": "p", "words": "x"}
    )
    assert isinstance(read_event("NotebookOpened", 1, {"title": "x"}), NotebookOpened)


def test_a_class_that_fills_itself_is_built_the_ordinary_way() -> None:
    @value
    class Counted:
        words: tuple[str, ...] = field(default_factory=tuple)

    @event(version=1)
    class CountedHappened(Event):
        counted: Counted

    assert read_event("CountedHappened", 1, {"counted": {}}) == CountedHappened(counted=Counted())
    assert read_event("CountedHappened", 1, {"counted": {"words": ["a"]}}) == CountedHappened(
        counted=Counted(words=("a",))
    )


def test_personal_values_in_a_list_of_their_own_are_refused_and_not_written_openly() -> None:
    @event(version=1)
    class NamesListed(Event):
        person_id: str
        names: tuple[Personal[str], ...]

    with pytest.raises(TypeError, match="beside its person"):
        write_event(NamesListed(person_id="p-1", names=("Erika",)), seal)


def test_what_was_read_is_as_frozen_as_what_was_built() -> None:
    read = read_event("NoteTaken", 1, {"person_id": "p", "words": "x"})
    assert isinstance(read, NoteTaken)
    with pytest.raises(AttributeError):
        read.note = None  # type: ignore[assignment,misc]
    assert hash(read) == hash(parse_event("NoteTaken", 1, {"person_id": "p", "words": "x"}))


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, texts, st.integers(1, 2**31), texts, st.integers(1, 100))
def test_the_place_a_field_is_bound_to_is_canonical_json(
    agency: str, stream: str, version: int, pointer: str, schema_version: int
) -> None:
    expected = canonical([agency, stream, version, pointer, schema_version])
    assert _bound_to(agency, stream, version, pointer, schema_version) == expected
