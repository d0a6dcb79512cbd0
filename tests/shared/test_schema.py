"""Dataclasses and JSON: nothing is lost, nothing is guessed, every fault is named."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.domain import ERASED, Erased, Json, Personal, Sealed, value
from shared.errors import Invalid
from shared.schema import ERASED_JSON, dump, has_personal, json_schema, map_personal, parse, parse_event
from tests.support.notebook import MeetingNoted, Note, NotebookOpened, NoteTaken


class Kind(StrEnum):
    ONE = "one"
    TWO = "two"


@value
class Inner:
    person_id: str
    name: Personal[str]
    born: Personal[date] | None = None


@value
class Everything:
    text: str
    number: int
    yes: bool
    day: date
    moment: datetime
    kind: Kind
    inner: Inner
    many: tuple[Inner, ...]
    words: tuple[str, ...] = ()
    by_name: Mapping[str, int] | None = None
    maybe: str | None = None
    passed: Json | None = None
    other_id: str = "p-9"
    about_other: Annotated[str | Erased, Sealed("other_id")] = "x"


INNER = Inner(person_id="p-1", name="Erika", born=date(1980, 2, 29))
MOMENT = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
WHOLE = Everything(
    text="ä\n\u20ac",
    number=-(2**53) + 1,
    yes=True,
    day=date(2026, 3, 1),
    moment=MOMENT,
    kind=Kind.TWO,
    inner=INNER,
    many=(INNER, Inner(person_id="p-2", name=ERASED)),
    words=("a", ""),
    by_name={"a": 1},
    maybe="x",
    passed={"a": [1, {"b": None}]},
)

names = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=10)
inners = st.builds(Inner, person_id=names, name=st.just(ERASED) | names, born=st.none() | st.dates())
wholes = st.builds(
    Everything,
    text=names,
    number=st.integers(-(2**53) + 1, 2**53 - 1),
    yes=st.booleans(),
    day=st.dates(),
    moment=st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)),  # noqa: DTZ001 - Hypothesis adds the zone
    kind=st.sampled_from(Kind),
    inner=inners,
    many=st.lists(inners, max_size=3).map(tuple),
    words=st.lists(names, max_size=3).map(tuple),
    by_name=st.none() | st.dictionaries(names, st.integers(-(2**53) + 1, 2**53 - 1), max_size=3),
    maybe=st.none() | names,
    passed=st.none() | st.dictionaries(names, st.integers(-(2**53) + 1, 2**53 - 1) | names | st.none(), max_size=3),
    about_other=names | st.just(ERASED),
)


@given(wholes)
def test_what_is_dumped_is_parsed_to_the_same(whole: Everything) -> None:
    assert parse(Everything, dump(whole)) == whole


@given(wholes)
def test_what_is_dumped_agrees_with_the_published_schema(whole: Everything) -> None:
    data = {**dump(whole), "about_other": "x", "inner": dump(INNER), "many": []}
    Draft202012Validator(json_schema(Everything)).validate(data)


def test_dumped_is_plain_json() -> None:
    data = dump(WHOLE)
    assert data["day"] == "2026-03-01"
    assert data["moment"] == "2026-03-29T01:59:59.123456Z"
    assert data["kind"] == "two"
    assert data["many"][1] == {"person_id": "p-2", "name": ERASED_JSON, "born": None}


def test_times_are_kept_in_utc() -> None:
    data = {**dump(WHOLE), "moment": "2026-03-29T03:59:59.123456+02:00"}
    assert parse(Everything, data).moment == MOMENT
    assert parse(Everything, data).moment.tzinfo is UTC
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5)))
    assert dump(parse(Everything, {**dump(WHOLE), "moment": elsewhere.isoformat()})) == dump(WHOLE)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"text": None}, "/text"),
        ({"text": 5}, "/text"),
        ({"text": "a\x00b"}, "/text"),
        ({"number": "5"}, "/number"),
        ({"number": 1.5}, "/number"),
        ({"yes": "true"}, "/yes"),
        ({"yes": 1.5}, "/yes"),
        ({"day": "01.03.2026"}, "/day"),
        ({"day": "2026-02-30"}, "/day"),
        ({"moment": "2026-03-01T10:00:00"}, "/moment"),
        ({"kind": "three"}, "/kind"),
        ({"inner": {"person_id": "p"}}, "/inner/name"),
        ({"inner": {"person_id": "p", "name": "x", "extra": 1}}, "/inner/extra"),
        ({"inner": []}, "/inner"),
        ({"many": [{"person_id": "p", "name": 7}]}, "/many/0/name"),
        ({"words": "abc"}, "/words"),
        ({"by_name": {"a": "b"}}, "/by_name/a/value"),
        ({"unknown/~field": 1}, "/unknown~1~0field"),
    ],
    ids=str,
)
def test_a_faulty_field_is_named_by_its_place(change: Json, pointer: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(Everything, {**dump(WHOLE), **change})
    assert refusal.value.code == "request.invalid"
    assert [problem.pointer for problem in refusal.value.problems] == [pointer]
    assert all(problem.remedy for problem in refusal.value.problems)


def test_every_missing_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        parse(Inner, {})
    assert {problem.pointer for problem in refusal.value.problems} == {"/person_id", "/name"}


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(Invalid):
        parse(Inner, data)


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(Invalid) as refusal:
        parse(Everything, {**dump(WHOLE), "number": "told nobody", "kind": "told nobody"})
    assert "told nobody" not in str(refusal.value) + str(refusal.value.problems)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_arrives_is_parsed_or_refused(data: Any) -> None:
    for cls in (Everything, Inner, MeetingNoted):
        with suppress(Invalid):
            parse(cls, data)


# --- personal fields ----------------------------------------------------------------------------------------------


def test_personal_fields_are_found_with_owner_and_place() -> None:
    seen: list[tuple[Any, str, str]] = []

    def note(item: Any, owner: str, pointer: str) -> Any:
        seen.append((item, owner, pointer))
        return f"<{pointer}>"

    changed = map_personal(Everything, dump(WHOLE), note)
    assert seen == [
        ("Erika", "p-1", "/inner/name"),
        ("1980-02-29", "p-1", "/inner/born"),
        ("Erika", "p-1", "/many/0/name"),
        ("1980-02-29", "p-1", "/many/0/born"),
        (ERASED_JSON, "p-2", "/many/1/name"),
        ("x", "p-9", "/about_other"),
    ]
    assert changed["many"][0] == {"person_id": "p-1", "name": "</many/0/name>", "born": "</many/0/born>"}
    assert dump(WHOLE)["inner"]["name"] == "Erika"


def test_personal_fields_behind_options_are_found_too() -> None:
    @value
    class Nested:
        optional: Inner | None = None
        listed: tuple[Inner, ...] | None = None

    nested = Nested(optional=INNER, listed=(INNER,))
    seen: list[str] = []
    map_personal(Nested, dump(nested), lambda item, _, pointer: seen.append(pointer) or item)
    assert "/optional/name" in seen
    assert "/listed/0/name" in seen


def test_classes_say_whether_anything_in_them_is_personal() -> None:
    assert has_personal(Everything)
    assert has_personal(NoteTaken)
    assert not has_personal(NotebookOpened)


def test_the_published_schema_names_the_owner_of_a_personal_field() -> None:
    schema = json_schema(Everything)
    assert schema["$defs"]["Inner"]["properties"]["name"]["x-personal"] == "person_id"
    assert schema["properties"]["about_other"]["x-personal"] == "other_id"
    assert schema["additionalProperties"] is False
    assert "maybe" not in schema["required"]


# --- events -------------------------------------------------------------------------------------------------------


def test_an_event_of_today_and_one_of_yesterday() -> None:
    today = NoteTaken(note=Note(person_id="p-1", text="x"))
    assert parse_event("NoteTaken", 2, dump(today)) == today
    assert parse_event("NoteTaken", 1, {"person_id": "p-1", "words": "x"}) == today


def test_a_stored_event_that_fits_no_schema_is_named_as_such() -> None:
    with pytest.raises(Invalid) as refusal:
        parse_event("NoteTaken", 2, {"nothing": 1})
    assert refusal.value.code == "event.invalid"


def test_a_type_without_json_form_is_refused_when_it_is_declared() -> None:
    @value
    class Fraction:
        amount: float

    with pytest.raises(TypeError, match="no JSON form"):
        parse(Fraction, {"amount": 1.5})
