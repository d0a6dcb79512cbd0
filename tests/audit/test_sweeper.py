"""Intents without an outcome are finished by asking, or listed; the tree is checked by night, while the log goes on."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.audit.asks import Asks, on_behalf_of
from services.audit.evidence import audit_log
from services.audit.findings import CHECK, RECONCILE, SWEEP, Findings
from services.audit.handlers import Office
from services.audit.queries import ReceiptQuestion, ReceiptView
from services.audit.status import LogStatus, StatusQuestion
from services.audit.sweeping import OPEN, UNKNOWN, Sweeper, Swept
from services.audit.watching import Stopped, Watch
from shared.audit import Leaf
from shared.errors import Unavailable
from tests.audit.conftest import AGENCY
from tests.support.clock import NOON, FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.receipts import intent
from tests.support.workplace import REFERRAL, PartnerDesk, Workplace, request_of

LATER = timedelta(minutes=16)


@dataclass
class Place:
    """A platform of its own, an agency with a partner, and the clock in the hand of the test."""

    platform: LocalPlatform
    clock: FixedClock
    at: Workplace
    partner: PartnerDesk

    @property
    def context(self):
        return self.platform.contexts["audit"]

    @property
    def log(self):
        return audit_log(self.context)

    @property
    def office(self) -> Office:
        return Office(self.at.agency, self.context.store.agency(self.at.agency), self.log, self.clock)

    def disclose(self) -> str:
        person = self.at.person()
        self.at.entry(person, "benefit_data")
        self.at.consent(person, self.partner.partner_id, "benefit_data")
        wanted = request_of(person, self.partner, "benefit_data")
        self.at.request(wanted)
        return wanted.disclosure_id

    def sweep(self) -> Swept:
        asks = Asks(self.context.calls, on_behalf_of(self.at.agency, "check"))
        return Sweeper(self.office, asks, self.context.database).sweep()

    def status(self) -> LogStatus:
        return self.at.ask("audit", "status", StatusQuestion(), LogStatus, role="auditor")

    def results(self) -> list[str]:
        return [leaf["result"] for leaf in self.at.leaves() if leaf["kind"] == "outcome"]


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    clock = FixedClock()
    with local_platform(tmp_path, clock=clock) as platform:
        at = Workplace.of(platform)
        yield Place(platform, clock, at, at.partner())


def test_an_outcome_whose_message_was_lost_is_finished_from_what_the_exchange_knows(place):
    place.disclose()
    place.partner.documents()
    assert place.sweep() == Swept()
    place.clock.moment += LATER
    assert place.sweep() == Swept(open=1, finished=1)
    assert place.results() == ["handed_over"]
    assert place.sweep() == Swept()


def test_a_message_that_comes_late_is_the_same_entry(place):
    place.disclose()
    place.partner.documents()
    place.clock.moment += LATER
    place.sweep()
    place.platform.deliver_messages()
    assert place.results() == ["handed_over"]


def test_what_waits_for_its_partner_is_open_and_no_finding(place):
    place.disclose()
    place.clock.moment += LATER
    assert place.sweep() == Swept(open=1, waiting=1)
    assert place.status().findings == ()


def test_an_intent_that_was_never_acted_on_is_listed_with_its_index_until_it_is(place):
    asked = place.office
    leaf, openings = intent(sender=place.at.agency)
    entry = place.log.append(place.at.agency, leaf, key="disclosure-d-9:ruling", openings=openings)
    lost, more = intent(sender=place.at.agency)
    other = place.log.append(place.at.agency, lost, key="something-else", openings=more)
    place.clock.moment += LATER
    assert place.sweep() == Swept(open=2, reported=2)
    found = {(each.code, each.place) for each in place.status().findings}
    assert found == {(UNKNOWN, str(entry.idx)), (UNKNOWN, str(other.idx))}
    asked.record_outcome("d-9", "outcome", "handed_over", "m-1")
    place.sweep()
    assert {each.place for each in place.status().findings} == {str(other.idx)}


def test_a_request_that_nobody_repeated_is_listed_and_repeating_it_ends_that(place, monkeypatch):
    person = place.at.person()
    place.at.entry(person, "benefit_data")
    place.at.consent(person, place.partner.partner_id, "benefit_data")
    wanted = request_of(person, place.partner, "benefit_data")
    with monkeypatch.context() as broken:

        def dies(*_, **__):
            raise Unavailable("exchange.died")

        broken.setattr("services.exchange.handlers.Desk._permit", dies)
        with pytest.raises(Unavailable):
            place.at.request(wanted)
    place.clock.moment += LATER
    assert place.sweep() == Swept(open=1, reported=1)
    assert [each.code for each in place.status().findings] == [OPEN]
    place.at.request(wanted)
    assert place.sweep() == Swept(open=1, waiting=1)
    assert place.status().findings == ()


def test_a_confirmation_alone_finishes_nothing(place):
    entry = place.log.append(place.at.agency, intent()[0], key="disclosure-d-1:ruling")
    place.office.record_outcome("d-1", "outcome", "confirmed", "m-1")
    place.clock.moment += LATER
    assert [each.idx for each in place.log.open_intents(place.at.agency, place.clock.now())] == [entry.idx]


def test_a_finding_keeps_the_time_when_it_was_found_first(place):
    place.log.append(place.at.agency, intent()[0], key="k")
    place.clock.moment += LATER
    place.sweep()
    (first,) = place.status().findings
    place.clock.move(hours=1)
    place.sweep()
    assert place.status().findings == (first,)


def test_while_the_exchange_is_away_nothing_is_lost_and_nothing_reported(place, monkeypatch):
    place.disclose()
    place.partner.documents()
    place.clock.moment += LATER

    def away(*_, **__):
        raise Unavailable("exchange.unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(Asks, "whereabouts", away)
        with pytest.raises(Unavailable):
            place.sweep()
    assert place.sweep() == Swept(open=1, finished=1)


# --- timers ---------------------------------------------------------------------------------------------------------


def ran(place, source):
    with place.context.database.read() as tx:
        return Findings(place.at.agency).last(tx, source)


def test_the_timers_follow_the_clock_that_they_are_given(place):
    place.disclose()
    watch = Watch(place.context)
    place.clock.moment = NOON.replace(hour=0)
    watch.tick()
    assert (ran(place, SWEEP), ran(place, CHECK)) == (place.clock.now(), None)
    place.clock.moment = NOON.replace(hour=1, minute=0)
    watch.tick()
    checked = ran(place, CHECK)
    assert checked == ran(place, RECONCILE) == place.clock.now()
    place.clock.move(minutes=4)
    watch.tick()
    assert ran(place, SWEEP) == checked
    place.clock.move(minutes=1)
    watch.tick()
    assert (ran(place, SWEEP), ran(place, CHECK)) == (place.clock.now(), checked)
    place.clock.move(days=1)
    watch.tick()
    assert ran(place, CHECK) == place.clock.now()


def test_a_nightly_check_finds_a_changed_entry_and_shows_it_until_it_is_mended(place):
    place.disclose()
    Watch(place.context).tick()
    assert place.status().findings == ()
    with place.context.database.write() as tx:
        tx.execute(text("drop trigger entry_no_update"))
        tx.execute(text("update entry set bytes = cast('x' || bytes as blob) where kind = 'intent'"))
    place.clock.move(days=1)
    Watch(place.context).tick()
    found = {(each.source, each.code) for each in place.status().findings}
    assert (CHECK, "log.entry_changed") in found
    with place.context.database.write() as tx:
        tx.execute(text("update entry set bytes = cast(substr(cast(bytes as text), 2) as blob) where kind = 'intent'"))
    place.clock.move(days=1)
    Watch(place.context).tick()
    assert "log.entry_changed" not in {each.code for each in place.status().findings}


def test_a_check_that_was_interrupted_is_done_again(place):
    place.disclose()

    def stops():
        raise Stopped

    with pytest.raises(Stopped):
        Watch(place.context, stops).tick()
    assert ran(place, CHECK) is None
    Watch(place.context).tick()
    assert ran(place, CHECK) is not None


def test_what_fails_by_night_keeps_nothing_else_from_being_done(place, monkeypatch):
    place.disclose()

    def away(*_, **__):
        raise Unavailable("exchange.unavailable")

    monkeypatch.setattr(Asks, "acknowledgements", away)
    Watch(place.context).tick()
    assert ran(place, CHECK) is not None
    assert ran(place, RECONCILE) is None


def test_the_whole_check_runs_beside_a_log_that_goes_on(installation, monkeypatch):
    monkeypatch.setattr("services.audit.sequencer.checking.ROWS", 5)
    log = installation.log()
    for number in range(40):
        log.append(AGENCY, Leaf(kind="looked"), key=f"before-{number}")
    stop, slices = threading.Event(), []

    def writes():
        for number in range(10_000):
            if stop.is_set():
                return
            log.append(AGENCY, Leaf(kind="looked"), key=f"beside-{number}")

    writer = threading.Thread(target=writes)
    writer.start()
    try:
        for _ in range(8):
            assert log.fsck(AGENCY, lambda: slices.append(1)) == []
    finally:
        stop.set()
        writer.join()
    assert len(slices) > 8 * 8


# --- what decides and signs -----------------------------------------------------------------------------------------


def kinds(place):
    return [Leaf.parse(each.leaf_bytes).kind for each in place.log.entries(place.at.agency, limit=500)]


def test_the_rules_are_logged_before_the_first_ruling_and_once(place):
    place.disclose()
    place.disclose()
    Watch(place.context).tick()
    assert kinds(place)[:3] == ["year_opened", "rule_set", "intent"]
    assert kinds(place).count("rule_set") == 1


def test_other_rules_are_an_entry_and_going_back_is_one_too(place, monkeypatch):
    class Other:
        hash = "ab" * 32

    place.disclose()
    with monkeypatch.context() as changed:
        changed.setattr("services.audit.activation.present_law", Other)
        for _ in range(2):
            Watch(place.context).tick()
    Watch(place.context).tick()
    rule_sets = [Leaf.parse(each.leaf_bytes) for each in place.log.of_kind(place.at.agency, "rule_set")]
    assert [leaf.rule_set == Other.hash for leaf in rule_sets] == [False, True, False]
    assert rule_sets[0].details == {"day": "2026-03-02"}


def test_a_partner_and_its_keys_are_configuration_that_stands_in_the_log(place):
    place.at.partner(medical=True)
    place.platform.deliver_messages()
    found = [Leaf.parse(each.leaf_bytes).details for each in place.log.of_kind(place.at.agency, "configuration")]
    assert [(each["setting"], each["change"]) for each in found] == [
        ("agency", "registered"),
        ("partner", "registered"),
        ("partner", "registered"),
        ("partner", "medical_key"),
    ]
    assert all(len(each["digest"]) == 64 for each in found)
    place.platform.deliver_messages(from_the_start=True)
    assert len(place.log.of_kind(place.at.agency, "configuration")) == 4


def test_a_disclosure_that_was_stopped_says_why_in_the_log(place):
    partner, person = place.at.partner("measure_provider", "provider"), place.at.person()
    place.at.entry(person, "coaching_content")
    consent = place.at.consent(person, partner.partner_id, "coaching_content")
    place.at.request(request_of(person, partner, "coaching_content", purpose=REFERRAL))
    place.at.withdraw(consent)
    assert partner.documents() == []
    place.platform.deliver_messages()
    stopped = [leaf for leaf in place.at.leaves() if leaf["result"] == "stopped"]
    assert [leaf["details"] for leaf in stopped] == [{"reason": "consent_withdrawn"}]


def test_what_waited_over_a_change_of_law_is_ruled_on_again(place, monkeypatch):
    class Other:
        hash = "ab" * 32

    kept, gone = place.disclose(), place.disclose()
    with monkeypatch.context() as changed:
        changed.setattr("services.exchange.delivery.present_law", Other)
        real = Office.rule_again
        changed.setattr(
            Office,
            "rule_again",
            lambda office, asked, evidence: asked.disclosure_id == kept and real(office, asked, evidence),
        )
        assert [each["id"] for each in place.partner.documents()] == [kept]
    assert place.at.disclosure(gone).state == "stopped"
    place.platform.deliver_messages()
    assert [leaf["details"] for leaf in place.at.leaves() if leaf["result"] == "stopped"] == [{"reason": "law_changed"}]


def test_what_is_still_lawful_on_another_day_leaves(place):
    kept = place.disclose()
    place.clock.move(days=3)
    assert [each["id"] for each in place.partner.documents()] == [kept]


def test_who_reads_the_receipt_of_a_disclosure_stands_in_the_log(place):
    disclosure_id = place.disclose()
    question = ReceiptQuestion(disclosure_id=disclosure_id)
    found = place.at.ask("audit", "receipt", question, ReceiptView, role="auditor", actor="pruefung")
    assert found.index == place.at.disclosure(disclosure_id).ruling.index
    (entry,) = place.log.of_kind(place.at.agency, "log_read")
    leaf = Leaf.parse(entry.leaf_bytes)
    assert leaf.details == {"way": "receipt", "role": "auditor"}
    assert set(leaf.commitments) == {"person", "by", "reason"}
    person = place.at.disclosure(disclosure_id).person_id
    assert entry.idx in [each.idx for each in place.log.by_person(place.at.agency, person)]
    assert b"pruefung" not in entry.leaf_bytes
