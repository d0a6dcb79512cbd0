"""What a FHIR Consent says: both shapes of the German broad consent, examples of the standard, dates, exceptions."""

import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.interchange.days import ALWAYS, Days, apart, longest, read, shortest, together
from services.consent.interchange.documents import resources, to_xml
from services.consent.interchange.reading import Gap, Reading, read_consent
from services.consent.interchange.tables import FOLDER, tables
from services.consent.interchange.translation import Directory, Wanted, translate
from shared.domain import Json
from shared.errors import Invalid
from tests.interop.consents import (
    CATEGORY,
    DIRECTORY,
    DISCHARGE,
    FILES,
    LOINC,
    MII,
    NAMES,
    PURPOSE,
    actor,
    consent,
    provision,
)
from tests.support.shared_data import shared_data

TODAY = date(2026, 3, 2)
MDAT_COLLECT, MDAT_STORE, MDAT_USE, BIO_COLLECT, BIO_STORE, BIO_USE = (
    f"2.16.840.1.113883.3.1937.777.24.5.3.{number}" for number in (6, 7, 8, 19, 20, 22)
)
SIGNED, FIVE_YEARS, THIRTY_YEARS = date(2020, 9, 1), date(2025, 8, 31), date(2050, 8, 31)


def content(name: str) -> Json:
    (found,) = resources((FILES / name).read_bytes())
    assert found.content is not None
    return found.content


def reading(name: str) -> Reading:
    return read_consent(content(name))


def wanted(said: Json, directory: Directory = DIRECTORY) -> Wanted:
    return translate(read_consent(said), directory, person_id="p-1", proof="i-1", today=TODAY, named=lambda cell: cell)


def cells(said: Json) -> set[tuple[str, str, str, date | None, date | None]]:
    return {
        (terms.recipient, terms.categories[0], terms.purpose, terms.valid_from, terms.valid_until)
        for terms in wanted(said).give.values()
    }


def codes(gaps: tuple[Gap, ...], *, refusing: bool = True) -> set[str]:
    return {gap.code for gap in gaps if gap.refuses is refusing}


# --- the German broad consent -------------------------------------------------------------------------------------

FIRST = "mii/Example_MII_Consent_Einwilligung.xml"
SECOND = "mii/Example_MII_Consent_Einwilligung_2.xml"
BROAD = {
    FIRST: {
        MDAT_COLLECT: FIVE_YEARS,
        MDAT_STORE: THIRTY_YEARS,
        MDAT_USE: THIRTY_YEARS,
        BIO_COLLECT: FIVE_YEARS,
        BIO_STORE: THIRTY_YEARS,
        BIO_USE: THIRTY_YEARS,
    },
    SECOND: {
        MDAT_COLLECT: FIVE_YEARS,
        MDAT_STORE: FIVE_YEARS,
        BIO_COLLECT: FIVE_YEARS,
        MDAT_USE: THIRTY_YEARS,
        BIO_STORE: THIRTY_YEARS,
        BIO_USE: THIRTY_YEARS,
    },
}


@pytest.mark.parametrize("name", BROAD)
def test_both_shapes_of_the_broad_consent_are_read_to_one_list(name: str) -> None:
    said = reading(name)
    root, *rest = said.all_statements()
    assert (root.permit, root.data) == (False, ())
    assert all(each.permit and each.days.first == SIGNED for each in rest)
    assert {coding.code: each.days.last for each in rest for coding in each.data[-1]} == BROAD[name]
    assert {coding.system for each in rest for coding in each.data[-1]} == {MII}


def test_one_provision_with_several_codes_says_the_same_as_several_with_one() -> None:
    grouped = content(SECOND)
    single = {**grouped, "provision": {**grouped["provision"], "provision": []}}
    for each in grouped["provision"]["provision"]:
        single["provision"]["provision"] += [{**each, "code": [code]} for code in each["code"]]

    def listed(said: Json) -> list[tuple[str, Days, bool]]:
        statements = read_consent(said).all_statements()
        return sorted((str(c), s.days, s.permit) for s in statements for level in s.data for c in level)

    assert sorted(map(str, listed(grouped))) == sorted(map(str, listed(single)))


@pytest.mark.parametrize("name", BROAD)
def test_the_broad_consent_permits_no_disclosure_here_and_says_why(name: str) -> None:
    found = wanted(content(name))
    assert not found.give
    assert not found.refuse
    assert {"fhir.blanket", "fhir.no_counterpart", "fhir.text_unknown"} <= codes(found.gaps)
    assert any("MDAT wissenschaftlich nutzen" in gap.why for gap in found.gaps)


@pytest.mark.shared_data
def test_the_policies_of_the_broad_consent_are_those_of_its_code_system() -> None:
    from xml.etree import ElementTree as ET

    path = shared_data("data", "mii-consent", "terminologie", "CodeSystem-MiiConsentPolicyCodeSystem.xml")
    space = "{http://hl7.org/fhir}"
    concepts = ET.parse(path).iter(f"{space}concept")
    listed = {
        each.find(f"{space}code").get("value"): each.find(f"{space}display").get("value").strip()  # type: ignore[union-attr]
        for each in concepts
    }
    assert yaml.safe_load((FOLDER / "mii-policies.yaml").read_text("utf-8")) == listed


# --- every file ---------------------------------------------------------------------------------------------------

UNDERSTOOD = (
    "id",
    "status",
    "scope",
    "patient",
    "dateTime",
    "performer",
    "policy",
    "policyRule",
    "provision.type",
    "provision.period",
    "provision.actor",
    "provision.purpose",
    "provision.code",
    "provision.dataPeriod",
)
WITHOUT_BEARING = ("resourceType", "meta", "text", "language")


def elements(said: Any, path: str = "Consent") -> list[str]:
    """The paths of the elements, down to the parts of a provision."""
    found = []
    for name, inner in said.items():
        place = f"{path}.{name}"
        if name == "provision":
            for number, each in enumerate(inner if isinstance(inner, list) else [inner]):
                found += elements(each, f"{place}[{number}]" if isinstance(inner, list) else place)
        else:
            found.append(place)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_element_of_every_file_is_understood_or_named(name: str) -> None:
    said = content(name)
    named = {gap.path for gap in read_consent(said).gaps}
    for path in elements(said):
        generic = "provision." + path.rsplit(".", 1)[1] if ".provision" in path else path.removeprefix("Consent.")
        assert generic in UNDERSTOOD + WITHOUT_BEARING or path in named, path


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_others_permits_anything_by_itself(name: str) -> None:
    """None names what a consent here must name; each refusal has its place and its reason."""
    found = wanted(content(name))
    assert not found.give
    assert codes(found.gaps)
    assert all(gap.path.startswith("Consent") and gap.why for gap in found.gaps)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_through_xml_and_back_without_loss(name: str) -> None:
    said = content(name)
    (again,) = resources(to_xml(said))
    assert again.content == {element: each for element, each in said.items() if element != "text"}
    assert again.content is not None
    assert read_consent(again.content) == read_consent(said)


@pytest.mark.parametrize(
    ("name", "statements", "refusing"),
    [
        ("Emergency", [False, False], {"fhir.condition_unknown"}),
        ("Out", [False], {"fhir.condition_unknown"}),
        ("basic", [], {"fhir.blanket_default", "fhir.unclear_provision"}),
        ("grantor", [False], {"fhir.condition_unknown"}),
        ("notAuthor", [], {"fhir.blanket_default", "fhir.unclear_provision", "fhir.condition_unknown"}),
        ("notOrg", [False], {"fhir.blanket_default", "fhir.condition_unknown"}),
        ("notThem", [], {"fhir.blanket_default", "fhir.unclear_provision", "fhir.condition_unknown"}),
        ("notThis", [], {"fhir.blanket_default", "fhir.unclear_provision", "fhir.condition_unknown"}),
        ("notTime", [], {"fhir.blanket_default", "fhir.unclear_provision"}),
        ("pkb", [False] * 12, {"fhir.unclear_provision", "fhir.condition_unknown"}),
        ("signature", [True], {"fhir.blanket_default", "fhir.unclear_provision", "fhir.condition_unknown"}),
        ("smartonfhir", [True], {"fhir.blanket_default", "fhir.unclear_provision", "fhir.condition_unknown"}),
    ],
)
def test_the_examples_of_the_standard(name: str, statements: list[bool], refusing: set[str]) -> None:
    said = reading(f"hl7/Consent-consent-example-{name}.json")
    assert [each.permit for each in said.all_statements()] == statements
    assert codes(said.gaps) == refusing


def test_half_an_hour_is_no_day() -> None:
    """The thirty minutes of an example: days are the smallest here, and none of them is certainly meant."""
    (statement,) = reading("hl7/Consent-consent-example-smartonfhir.json").statements
    assert statement.days.empty


# --- dates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "permit_from", "permit_until", "deny_from", "deny_until"),
    [
        ("2024", "2024-12-31", "2024-01-01", "2024-01-01", "2024-12-31"),
        ("2024-03", "2024-03-31", "2024-03-01", "2024-03-01", "2024-03-31"),
        ("2024-02", "2024-02-29", "2024-02-01", "2024-02-01", "2024-02-29"),
        ("2024-12", "2024-12-31", "2024-12-01", "2024-12-01", "2024-12-31"),
        ("2024-03-15", "2024-03-15", "2024-03-15", "2024-03-15", "2024-03-15"),
        ("2024-03-15T10:00:00+01:00", "2024-03-16", "2024-03-14", "2024-03-15", "2024-03-15"),
        ("2024-03-15T00:00:00+01:00", "2024-03-15", "2024-03-15", "2024-03-15", "2024-03-15"),
        ("2024-03-14T23:30:00Z", "2024-03-16", "2024-03-14", "2024-03-15", "2024-03-15"),
        ("2024-07-14T22:00:00Z", "2024-07-15", "2024-07-15", "2024-07-15", "2024-07-15"),
    ],
)
def test_an_imprecise_date_gives_a_permission_the_shortest_and_a_prohibition_the_longest_time(
    text: str, permit_from: str, permit_until: str, deny_from: str, deny_until: str
) -> None:
    when = read(text)
    assert shortest(when, None).first.isoformat() == permit_from
    assert shortest(None, when).last.isoformat() == permit_until
    assert longest(when, None).first.isoformat() == deny_from
    assert longest(None, when).last.isoformat() == deny_until


@pytest.mark.parametrize("text", ["", "2024-13", "2023-02-29", "24", "gestern", "2024-03-15T10:00:00", "0000"])
def test_what_is_no_date_is_none(text: str) -> None:
    assert read(text) is None


def test_the_last_day_that_there_is_can_be_written() -> None:
    assert shortest(read("9999"), read("9999")).first == date.max
    assert shortest(read("9999-12-31T10:00:00+01:00"), None).first == date.max


days = st.dates(date(2026, 1, 1), date(2026, 1, 20))
spans = st.tuples(days, days).map(lambda ends: Days(*ends))


@given(st.lists(spans, max_size=4), spans)
def test_sets_of_days_are_sets(some: list[Days], other: Days) -> None:
    def of(span: Days) -> set[int]:
        return set(range(span.first.toordinal(), span.last.toordinal() + 1))

    union: tuple[Days, ...] = ()
    for each in some:
        union = together(union, each)
    assert set().union(*map(of, union)) == set().union(*map(of, some))
    assert all(left.last < right.first for left, right in pairwise(union))
    assert set().union(*map(of, apart(union, other))) == set().union(*map(of, some)) - of(other)


# --- exceptions, and what is unknown ------------------------------------------------------------------------------

OURS = ("drv", "rehab_discharge_report", "care_transition")


def test_what_is_known_by_name_becomes_a_consent_from_today_on() -> None:
    said = consent(provision(period={"start": "2026-01-15", "end": "2027-01-14"}))
    assert cells(said) == {(*OURS, TODAY, date(2027, 1, 14))}
    (terms,) = wanted(said).give.values()
    assert (terms.voluntary, terms.information.complete, terms.form.value) == (True, True, "written")
    assert terms.proof is not None
    assert (terms.proof.document, terms.proof.explained_on) == ("i-1", date(2026, 1, 15))


def test_a_consent_begins_on_no_day_before_it_was_certainly_signed() -> None:
    said = consent(provision(), dateTime="2026-03")
    assert cells(said) == {(*OURS, date(2026, 3, 31), None)}


def test_an_exception_takes_its_days_out_of_the_permission() -> None:
    said = consent(provision(provision=[{"type": "deny", "period": {"start": "2026-06-01", "end": "2026-06-30"}}]))
    assert cells(said) == {(*OURS, TODAY, date(2026, 5, 31)), (*OURS, date(2026, 7, 1), None)}


def test_an_exception_to_an_exception_permits_again_and_no_more_than_the_outer_ones_leave_it() -> None:
    inner = {"type": "permit", "period": {"start": "2026-06-10", "end": "2027-12-31"}}
    outer = {"type": "deny", "period": {"start": "2026-06-01", "end": "2026-06-30"}, "provision": [inner]}
    found = cells(consent(provision(provision=[outer])))
    assert found == {(*OURS, TODAY, date(2026, 5, 31)), (*OURS, date(2026, 6, 10), None)}


@pytest.mark.parametrize("turned", [False, True])
def test_side_by_side_deny_beats_permit_in_either_order_and_it_is_said(*, turned: bool) -> None:
    pair = [provision(), provision("deny")]
    said = consent(*(reversed(pair) if turned else pair))
    found = wanted(said)
    assert not found.give
    assert "import.contradiction" in codes(found.gaps)
    assert [(t.recipient, *t.categories, t.purpose) for t in found.refuse.values()] == [OURS]


UNKNOWN = {"coding": [{"system": LOINC, "code": "99999-9"}]}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"code": [UNKNOWN]}, "fhir.code_unknown"),
        ({"code": [{"text": "Befunde"}]}, "fhir.code_unknown"),
        ({"code": [{"coding": [{"system": MII, "code": MDAT_USE}]}]}, "fhir.no_counterpart"),
        ({"code": [{"coding": [{"system": CATEGORY, "code": "everything"}]}]}, "fhir.code_unknown"),
        ({"code": None}, "fhir.blanket"),
        ({"purpose": [{"system": "urn:other", "code": "X"}]}, "fhir.code_unknown"),
        ({"purpose": [{"system": PURPOSE, "code": "whatever"}]}, "fhir.code_unknown"),
        ({"purpose": None}, "fhir.blanket"),
        ({"actor": None}, "fhir.blanket"),
        ({"actor": [actor("Organization/somebody")]}, "fhir.recipient_unknown"),
        ({"actor": [actor(), actor("Organization/clinic", "CST")]}, "fhir.condition_unknown"),
        ({"action": [{"coding": [{"system": "urn:x", "code": "access"}]}]}, "fhir.condition_unknown"),
        ({"securityLabel": [{"system": "urn:x", "code": "R"}]}, "fhir.condition_unknown"),
        ({"class_": [{"system": "urn:x", "code": "Y"}]}, "fhir.condition_unknown"),
        ({"data": [{"meaning": "instance", "reference": {"reference": "Task/1"}}]}, "fhir.condition_unknown"),
        ({"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, "fhir.condition_unknown"),
        ({"period": {"start": "morgen"}}, "fhir.no_date"),
        ({"period": {"start": "2027", "end": "2027"}}, "fhir.no_day"),
        ({"period": {"start": "2028-01-01", "end": "2027-01-01"}}, "import.contradiction"),
        ({"period": {"end": "2026-03-01"}}, "fhir.over"),
    ],
)
def test_what_is_unknown_unnamed_or_narrower_permits_nothing_and_is_named(changed: Json, code: str) -> None:
    found = wanted(consent(provision(**changed)))
    assert not found.give
    assert code in codes(found.gaps)


@pytest.mark.parametrize(
    "changed",
    [
        {"code": [UNKNOWN]},
        {"code": None},
        {"code": [{"coding": [{"system": LOINC, "code": "34133-9"}]}]},
        {"purpose": [{"system": "urn:other", "code": "X"}]},
        {"purpose": None},
        {"actor": [actor("Organization/somebody")]},
        {"actor": None},
        {"actor": [actor("Organization/clinic", "CST")]},
        {"action": [{"coding": [{"system": "urn:x", "code": "correct"}]}]},
        {"securityLabel": [{"system": "urn:x", "code": "R"}]},
        {"code": [{"coding": [{"system": CATEGORY, "code": "full_case_file"}]}]},
    ],
)
def test_a_prohibition_that_is_not_understood_forbids_all_that_it_may_mean(changed: Json) -> None:
    assert not wanted(consent(provision(), provision("deny", **changed))).give


def test_a_prohibition_that_is_understood_leaves_the_rest_alone() -> None:
    other = provision("deny", actor=[actor("Organization/aok")])
    assert cells(consent(provision(), other)) == {(*OURS, TODAY, None)}


def test_of_several_codes_the_unknown_one_does_not_pass_and_the_known_one_does() -> None:
    found = wanted(consent(provision(code=[UNKNOWN, DISCHARGE])))
    assert len(found.give) == 1
    assert "fhir.code_unknown" in codes(found.gaps)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"status": "inactive"}, "fhir.not_in_force"),
        ({"status": "draft"}, "fhir.not_in_force"),
        ({"status": "entered-in-error"}, "fhir.not_in_force"),
        ({"status": "ACTIVE"}, "fhir.status_unknown"),
        ({"status": None}, "fhir.status_unknown"),
        ({"policy": None}, "fhir.text_unknown"),
        ({"policy": [{"uri": "https://klinik.example/other"}]}, "fhir.text_unknown"),
        ({"performer": [{"reference": "RelatedPerson/7"}]}, "fhir.giver_unknown"),
        ({"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, "fhir.condition_unknown"),
        ({"implicitRules": "urn:rules"}, "fhir.condition_unknown"),
        ({"verification": [{"verified": False}]}, "fhir.not_verified"),
        ({"dateTime": "bald"}, "fhir.no_date"),
        ({"provision": None}, "fhir.nothing_said"),
    ],
)
def test_a_consent_that_is_not_in_force_or_not_proven_permits_nothing(changed: Json, code: str) -> None:
    found = wanted(consent(provision(), **changed))
    assert not found.give
    assert code in codes(found.gaps)


def test_a_rejected_consent_is_a_no_to_each_of_its_cells() -> None:
    found = wanted(consent(provision(), status="rejected"))
    assert not found.give
    assert [(t.recipient, *t.categories, t.purpose) for t in found.refuse.values()] == [OURS]


# --- against a second reading of the standard ---------------------------------------------------------------------

WORDS = ("master_data", "contact_data", "benefit_data")
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True)


def tree(depth: int) -> st.SearchStrategy[Json]:
    inner = st.lists(tree(depth - 1), max_size=3) if depth else st.just([])
    return st.fixed_dictionaries(
        {
            "type": st.sampled_from(("permit", "deny")),
            "code": st.none() | words,
            "period": st.none() | st.tuples(days, days),
            "provision": inner,
        }
    )


def as_fhir(node: Json) -> Json:
    made: Json = {"type": node["type"]}
    if node["code"]:
        made["code"] = [{"coding": [{"system": CATEGORY, "code": each}]} for each in node["code"]]
    if node["period"]:
        made["period"] = dict(zip(("start", "end"), map(date.isoformat, node["period"]), strict=True))
    if node["provision"]:
        made["provision"] = [as_fhir(each) for each in node["provision"]]
    return made


def fits(node: Json, word: str, day: date) -> bool:
    within = node["period"] is None or node["period"][0] <= day <= node["period"][1]
    return within and (node["code"] is None or word in node["code"])


def says(node: Json, word: str, day: date) -> bool | None:
    """None where it says nothing; an inner one that says something overrides, and of several a no counts."""
    if not fits(node, word, day):
        return None
    inner = [each for each in (says(one, word, day) for one in node["provision"]) if each is not None]
    return all(inner) if inner else node["type"] == "permit"


@settings(max_examples=200, deadline=None)
@given(st.lists(tree(2), max_size=3))
def test_the_statements_say_what_the_nested_provisions_say(nodes: list[Json]) -> None:
    """For consents that name all data somewhere: a second, recursive reading agrees on every day and category."""
    said = consent(
        dateTime="2026-01-01",
        provision={
            "type": "deny",
            "actor": [actor()],
            "purpose": [{"system": PURPOSE, "code": "referral"}],
            "code": [{"coding": [{"system": CATEGORY, "code": each}]} for each in WORDS],
            "provision": [as_fhir(each) for each in nodes],
        },
    )
    found = translate(
        read_consent(said), DIRECTORY, person_id="p-1", proof="i", today=date(2026, 1, 1), named=lambda cell: cell
    )
    root: Json = {"type": "deny", "code": None, "period": None, "provision": nodes}
    for word in WORDS:
        spans = [
            Days(t.valid_from or date.min, t.valid_until or date.max)
            for t in found.give.values()
            if word in t.categories
        ]
        for number in range(1, 21):
            day = date(2026, 1, number)
            here = any(span.first <= day <= span.last for span in spans)
            assert here == says(root, word, day), (word, day)


# --- files --------------------------------------------------------------------------------------------------------

BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<Consent xmlns="http://hl7.org/fhir"><id value="&b;"/></Consent>"""
OUTSIDE = b"""<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>
<Consent xmlns="http://hl7.org/fhir"><id value="&e;"/></Consent>"""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (BOMB, "import.document_type"),
        (OUTSIDE, "import.document_type"),
        (b'<!DOCTYPE Consent SYSTEM "http://x.example/x.dtd"><Consent/>', "import.document_type"),
        (b"<Consent>", "import.not_fhir"),
        (b'<Consent xmlns="http://hl7.org/fhir">', "import.not_readable"),
        (b'<Consent xmlns="urn:other"/>', "import.not_fhir"),
        (b'<Consent xmlns="http://hl7.org/fhir"><nonsense value="1"/></Consent>', "import.not_fhir"),
        (b'<Consent xmlns="http://hl7.org/fhir"><status>active</status></Consent>', "import.not_fhir"),
        (
            b'<Consent xmlns="http://hl7.org/fhir"><status value="a"/><status value="b"/></Consent>',
            "import.contradiction",
        ),
        (b"<a>" * 100, "import.not_fhir"),
        (b'<Consent xmlns="http://hl7.org/fhir">' + b"<provision>" * 100, "import.not_readable"),
        (b"", "import.not_readable"),
        (b"\xff\xfe", "import.not_readable"),
        (b"[1", "import.not_readable"),
        (b"[]", "import.not_fhir"),
        (b'{"resourceType": 3}', "import.not_fhir"),
        (b'{"resourceType": "Consent", "status": "active", "status": "rejected"}', "import.contradiction"),
        (b'{"resourceType": "Consent", "sttus": "active"}', "import.not_fhir"),
        (b'{"resourceType": "Consent", "category": {}}', "import.not_fhir"),
        (b'{"resourceType": "Consent", "status": 1}', "import.not_fhir"),
        (b'{"resourceType": "Consent", "_status": {}}', "import.not_fhir"),
        (b'{"resourceType": "Bundle", "entry": {}}', "import.not_fhir"),
        (b'{"resourceType": "Bundle", "entry": [1]}', "import.not_fhir"),
        (
            b'{"resourceType": "Consent", "provision": ' + b'{"provision": [' * 200 + b"]}" * 200 + b"}",
            "import.not_fhir",
        ),
        (b"[" * 100_000, "import.not_readable"),
        (b'{"x": NaN}', "import.not_readable"),
    ],
)
def test_what_is_no_fhir_is_refused_with_its_place(data: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        resources(data)
    assert refused.value.code == code
    assert refused.value.remedy


def test_an_error_does_not_repeat_what_stands_in_the_file() -> None:
    with pytest.raises(Invalid) as refused:
        resources(json.dumps({"resourceType": "Consent", "Ute Beispiel": 1}).encode())
    assert "Ute" not in str(refused.value.detail)


def test_a_code_with_text_in_it_is_not_told() -> None:
    found = wanted(consent(provision(code=[{"coding": [{"system": LOINC, "code": "Ute Beispiel, Ulm"}]}])))
    assert not any("Ute" in gap.what + gap.why for gap in found.gaps)


def test_a_bundle_is_its_consents_and_names_the_rest(tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": consent(provision())}]}
    bundle["entry"].append({"resource": {"resourceType": "Patient", "id": "1"}})  # type: ignore[attr-defined]
    assert [(each.kind, each.content is not None) for each in resources(json.dumps(bundle).encode())] == [
        ("Consent", True),
        ("Patient", False),
    ]
    del bundle["entry"][1]  # type: ignore[attr-defined]
    bundle["entry"][0]["fullUrl"] = "urn:uuid:c-1"  # type: ignore[index]
    assert [each.content for each in resources(to_xml(bundle))] == [consent(provision())]


def test_the_tables_speak_the_words_of_the_law() -> None:
    from shared.policy import present_law

    vocabulary = present_law().vocabulary
    known = set(vocabulary.categories) | set(vocabulary.purposes)
    for each in tables().codes.values():
        assert each.permits <= known
        assert each.denies is None or each.permits <= each.denies <= known
        assert each.permits or each.why
    assert Days() == ALWAYS
