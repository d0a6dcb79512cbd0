"""What is searched for is found, all of it, in the order of its time; what cannot be found is counted."""

import json
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from services.audit import projections, tables
from services.audit.evidence import audit_log
from services.audit.queries import Kind, ReceiptView
from services.audit.reading_room import SearchLog, SearchQuestion
from services.audit.search import FoundPage, Search, Wanted, catch_up, day_begins
from shared.audit import Leaf, Opening, verify_opening
from shared.clock import legal_day
from shared.errors import Invalid, NotFound, Refused
from tests.audit.conftest import AGENCY, Installation
from tests.support.bundles import AUDITOR, Rulings
from tests.support.clock import FixedClock
from tests.support.local_platform import local_platform
from tests.support.workplace import Workplace, fresh

RECIPIENTS, PURPOSES = ("drv", "aok", "jugendamt"), ("rehabilitation", "referral")
CATEGORIES = ("master_data", "benefit_data", "coaching_content")
NORMS = ("§ 69 Abs. 1 Nr. 1 SGB X", "§ 67b Abs. 2 SGB X", "§ 64 Abs. 2 SGB VIII")
DECISIONS = ("permit", "deny")


def fill(at: Installation, count: int) -> list[tuple[Leaf, str | None]]:
    """Entries of many kinds over ten days; every fifth was fixed an hour before it was entered."""
    log, said = at.log(), []
    for number in range(count):
        leaf = Leaf(
            kind="denial" if number % 4 == 3 else "intent",
            time=at.clock.now() - timedelta(hours=number % 5 == 0),
            sender=AGENCY,
            recipient=RECIPIENTS[number % 3],
            purpose=PURPOSES[number % 2],
            categories=CATEGORIES[: 1 + number % 3],
            decision=DECISIONS[number % 4 == 3],
            norms=NORMS[: 1 + number % 2],
            rule_set="ab" * 32,
        )
        person = f"person-{number % 7}" if number % 6 else None
        said.append((leaf, person))
        log.append(AGENCY, leaf, key=f"k-{number}", person=person)
        at.clock.move(hours=6)
    return said


@pytest.fixture
def filled(installation):
    with installation.database().write() as tx:
        projections.metadata.create_all(tx)
    installation.said = fill(installation, 40)
    installation.search = Search(AGENCY, installation.database())
    return installation


def matches(wanted: Wanted, leaf: Leaf, person: str | None) -> bool:
    """The same question, answered by looking at every entry."""
    day = legal_day(leaf.time)
    sections = {"§ 69 SGB X": "§ 69 ", "§ 67b SGB X": "§ 67b "}
    cited = [each for each in leaf.norms if each.startswith(sections.get(wanted.norm, str(wanted.norm)))]
    return all(
        (
            wanted.person_id in (None, person),
            wanted.recipient in (None, leaf.recipient),
            wanted.purpose in (None, leaf.purpose),
            wanted.category is None or wanted.category in leaf.categories,
            wanted.decision in (None, leaf.decision),
            wanted.kind in (None, leaf.kind),
            wanted.norm is None or bool(cited),
            wanted.first_day is None or day >= wanted.first_day,
            wanted.last_day is None or day <= wanted.last_day,
        )
    )


def all_pages(search: Search, wanted: Wanted, limit: int) -> list[Leaf]:
    found, after = list[Leaf](), ""
    while True:
        page = search.page(wanted, after, limit)
        assert len(page.items) <= limit
        found += [Leaf.parse(item.leaf.encode()) for item in page.items]
        if page.next is None:
            return found
        after = page.next


def maybe(*values):
    return st.sampled_from([None, None, *values])


QUESTIONS = st.builds(
    Wanted,
    person_id=maybe("person-1", "person-2", "nobody"),
    recipient=maybe(*RECIPIENTS, "other"),
    purpose=maybe(*PURPOSES),
    category=maybe(*CATEGORIES),
    decision=maybe(*DECISIONS),
    norm=maybe(*NORMS, "§ 69 SGB X", "§ 67b SGB X"),
    kind=maybe("intent", "denial"),
    first_day=maybe(date(2026, 3, 4), date(2026, 3, 12)),
    last_day=maybe(date(2026, 3, 3), date(2026, 3, 9)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUESTIONS, st.sampled_from([3, 7, 60]))
def test_every_search_finds_what_looking_at_every_entry_finds_in_the_order_of_time(filled, wanted, limit):
    found = [leaf for leaf in all_pages(filled.search, wanted, limit) if leaf.kind != "year_opened"]
    expected = [leaf for leaf, person in filled.said if matches(wanted, leaf, person)]
    assert sorted(leaf.nonce for leaf in found) == sorted(leaf.nonce for leaf in expected)
    assert [leaf.time for leaf in found] == sorted(leaf.time for leaf in found)


def test_a_norm_is_found_however_it_is_written_and_by_its_section(filled):
    search = filled.search
    whole = [leaf.nonce for leaf in all_pages(search, Wanted(norm="§ 69 SGB X"), 50)]
    assert whole == [leaf.nonce for leaf in all_pages(search, Wanted(norm="SGB X § 69"), 50)]
    assert len(whole) == 40
    assert len(all_pages(search, Wanted(norm="§ 67b Abs. 2 SGB X"), 50)) == 20


def test_other_agencies_find_nothing_of_it(filled):
    page = Search("other", filled.database()).page(Wanted())
    assert (page.items, page.unseen.deleted) == ((), 0)


def test_a_place_of_another_answer_is_refused(filled):
    search = filled.search
    for after in ("x", "2026-03-02T11:00:00.000000Z_2031_4", "_"):
        with pytest.raises(Invalid) as refused:
            search.page(Wanted(), after)
        assert [problem.pointer for problem in refused.value.problems] == ["/after"]


def forget_entries(at: Installation, kind: str) -> int:
    """At the end of their retention, through the door that the retention role opens."""
    with at.database().write() as tx:
        log = tx.scalar(select(tables.head.c.log))
        tx.execute(insert(tables.retention_period).values(what="entry", kind=kind, token="", days=0))
        door = {"log": log, "what": "entry", "kind": kind, "token": "", "before": "2026-03-06T00:00:00.000000Z"}
        tx.execute(insert(tables.retention_door).values(**door))
        here = tables.entry.c.kind == kind, tables.entry.c.at < door["before"]
        gone = tx.execute(delete(tables.entry).where(*here)).rowcount
        tx.execute(delete(tables.retention_door))
    return gone


@pytest.mark.parametrize("before", [True, False], ids=["drawn before", "drawn after"])
def test_what_is_deleted_leaves_the_search_in_the_same_moment_and_is_counted(filled, *, before):
    search = filled.search
    if before:
        search.page(Wanted())
    gone = forget_entries(filled, "denial")
    assert gone
    page = search.page(Wanted(kind="denial"), limit=100)
    assert (len(page.items), page.unseen.deleted) == (10 - gone, gone)
    with filled.database().read() as tx:
        terms = select(tables.entry_term.c.idx).where(tables.entry_term.c.at < "2026-03-06")
        kept = select(tables.entry.c.idx)
        assert set(tx.scalars(terms)) <= set(tx.scalars(kept))


def test_the_index_can_be_thrown_away_and_comes_back_as_it_was(filled):
    database = filled.database()

    def index():
        with database.read() as tx:
            return set(tx.execute(select(tables.entry_term)).all())

    assert catch_up(database, AGENCY) == 0
    before = index()
    with database.write() as tx:
        tx.execute(delete(tables.entry_term))
        tx.execute(delete(tables.search_mark))
    assert catch_up(database, AGENCY) == 0
    assert index() == before


def test_what_cannot_be_searched_yet_is_counted(filled, monkeypatch):
    database = filled.database()
    assert catch_up(database, AGENCY, seconds=0) == 41
    monkeypatch.setattr("services.audit.search.catch_up", lambda *_: catch_up(database, AGENCY, seconds=0))
    page = Search(AGENCY, database).page(Wanted())
    assert (page.items, page.unseen.not_yet) == ((), 41)


def test_legal_days_begin_at_midnight_in_berlin_also_when_the_clocks_change():
    assert day_begins(date(2026, 3, 29)) == "2026-03-28T23:00:00.000000Z"
    assert day_begins(date(2026, 3, 30)) == "2026-03-29T22:00:00.000000Z"


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with local_platform(tmp_path_factory.mktemp("platform"), clock=FixedClock()) as running:
        yield running


@pytest.fixture
def at(platform):
    return Rulings(Workplace.of(platform))


def ask(at, method, question, answer, actor=AUDITOR):
    return at.at.platform.ask("audit", method, question, answer, agency=at.at.agency, role="auditor", actor=actor)


def search_for(at, *, reason="Beschwerde 7/26", **wanted):
    asked = SearchLog(search_id=fresh("search"), wanted=Wanted(**wanted), reason=reason)
    ask(at, "search", asked, ReceiptView)
    return asked.search_id


def found(at, search_id, **more):
    page = ask(at, "found", SearchQuestion(search_id=search_id), FoundPage, **more)
    return [SimpleNamespace(**json.loads(item.leaf), consents_used=item.consents) for item in page.items]


def test_a_search_for_a_person_is_logged_with_its_reason_before_anything_is_found(at, platform):
    person = fresh("person")
    at.ruled("benefit_data", person_id=person)
    at.ruled("benefit_data")
    search_id = search_for(at, person_id=person)
    last = at.at.leaves()[-1]
    assert (last["kind"], last["details"]) == ("log_read", {"role": "auditor", "way": "search"})
    assert person not in json.dumps(last)
    assert [leaf.kind for leaf in found(at, search_id)] == ["intent", "log_read"]
    log = audit_log(platform.contexts["audit"])
    entry = log.find(at.at.agency, f"read-{search_id}")
    opened = {"person": person, "reason": "Beschwerde 7/26", "by": AUDITOR}
    for name, text in opened.items():
        verify_opening(Leaf.parse(entry.leaf_bytes), name, entry.openings[name].key, text)
    assert all(isinstance(each, Opening) and each.value is None for each in entry.openings.values())


def test_a_search_without_a_reason_finds_nothing_and_leaves_no_entry(at):
    before = at.at.leaves()
    with pytest.raises(Invalid):
        search_for(at, person_id=fresh("person"), reason=" ")
    assert at.at.leaves() == before


def test_pages_go_to_whoever_searched_for_a_day(at, platform):
    search_id = search_for(at, kind="intent")
    assert found(at, search_id) == []
    with pytest.raises(NotFound):
        found(at, search_id, actor="somebody else")
    platform.contexts["audit"].clock.move(hours=25)
    with pytest.raises(Refused):
        found(at, search_id)


def test_a_consent_finds_every_ruling_that_rests_on_it(at):
    person = fresh("person")
    consent = at.at.consent(person, "drv", "coaching_content")
    by_consent = {"recipient": Kind(body="measure_provider", domain="provider"), "purpose": "referral"}
    for _ in range(2):
        at.ruled("coaching_content", person_id=person, **by_consent)
    at.ruled("benefit_data", person_id=person)
    leaves = found(at, search_for(at, consent_id=consent))
    assert [(leaf.kind, leaf.consents_used) for leaf in leaves] == [("intent", (consent,))] * 2
    assert found(at, search_for(at, consent_id=consent, decision="deny")) == []
    assert found(at, search_for(at, consent_id="no such consent")) == []


def test_who_was_erased_is_found_no_more_by_person_and_still_by_code(at, platform):
    person = fresh("person")
    at.ruled("benefit_data", person_id=person)
    audit_log(platform.contexts["audit"]).forget(at.at.agency, person)
    assert {leaf.kind for leaf in found(at, search_for(at, person_id=person))} == {"log_read"}
    assert len(found(at, search_for(at, category="benefit_data"))) == 1


def test_an_outcome_is_found_by_its_result_and_names_its_intent(at):
    asked = at.ruled("benefit_data")
    at.went(asked, "handed_over")
    outcome = found(at, search_for(at, kind="outcome"))[0]
    assert (outcome.result, outcome.about["log"].split("/")[1]) == ("handed_over", at.at.agency)
