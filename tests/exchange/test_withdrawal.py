"""What a withdrawal sets off (Art. 7 Abs. 3 DSGVO): stopped before it left, retracted afterwards, then confirmed."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from services.audit.evidence import audit_log
from services.consent.domain.consent import PauseConsent
from services.consent.domain.use_limit import UseLimit
from services.consent.handlers import pass_days
from services.consent.projections import REGISTER
from services.consent.queries import Use, UseConsents, Used
from services.exchange import partner_queue
from services.exchange.asks import Entries, RetractDisclosures
from services.exchange.domain.disclosure import Disclosure, State
from services.exchange.domain.retraction import Retraction
from services.exchange.queries import (
    MissingAcknowledgements,
    MissingQuestion,
    WithdrawalQuestion,
    WithdrawalReport,
)
from services.exchange.silence import FollowUp
from services.exchange.withdrawal import retract_what_was_leaving
from shared.audit import Leaf
from shared.domain import Json, Receipt
from shared.errors import Invalid, Unavailable
from shared.eventstore import catch_up
from shared.identity import Caller
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import REFERRAL, PartnerDesk, Workplace, request_of

COACHING = "coaching_content"


class Story:
    """One consent, and disclosures that rest on it."""

    def __init__(self, at: Workplace, **terms: Any) -> None:
        self.at = at
        self.partner = at.partner("measure_provider", "provider")
        self.person_id = at.person()
        at.entry(self.person_id, COACHING)
        self.consent_id = at.consent(self.person_id, self.partner.partner_id, COACHING, **terms)

    def disclose(self) -> str:
        found = self.at.request(request_of(self.person_id, self.partner, COACHING, purpose=REFERRAL))
        assert found.state is State.PERMITTED
        return found.disclosure_id

    def withdraw(self) -> None:
        """The person withdraws, and everybody who listens has heard it."""
        self.at.withdraw(self.consent_id)
        self.at.platform.deliver_messages()

    def state(self, disclosure_id: str) -> State:
        return self.at.disclosure(disclosure_id).state

    def report(self) -> WithdrawalReport:
        question = WithdrawalQuestion(consent_id=self.consent_id)
        return self.at.ask("exchange", "withdrawal", question, WithdrawalReport, role="citizen")

    def results(self) -> list[str]:
        """What the log says happened after the intents."""
        self.at.platform.deliver_messages()
        return [leaf["result"] for leaf in self.at.leaves() if leaf["kind"] != "intent"]


@pytest.fixture
def story(jobcenter: Workplace) -> Story:
    return Story(jobcenter)


def test_what_was_not_yet_fetched_is_stopped(story: Story) -> None:
    disclosure_id = story.disclose()
    story.withdraw()
    assert story.partner.documents() == []
    assert story.state(disclosure_id) is State.STOPPED
    assert story.results() == ["stopped"]


def test_what_is_fetched_before_the_withdrawal_was_heard_is_stopped_all_the_same(story: Story) -> None:
    disclosure_id = story.disclose()
    story.at.withdraw(story.consent_id)
    assert story.partner.documents() == []
    assert story.state(disclosure_id) is State.STOPPED


def test_what_was_stopped_leaves_no_gap_in_the_partners_numbers(story: Story) -> None:
    story.disclose()
    story.withdraw()
    story.at.request(request_of(story.person_id, story.partner, COACHING, purpose=REFERRAL))
    story.consent_id = story.at.consent(story.person_id, story.partner.partner_id, COACHING)
    later = story.disclose()
    assert [(d["id"], d["sequence"]) for d in story.partner.documents()] == [(later, 1)]


def test_after_a_withdrawal_the_next_request_is_denied(story: Story) -> None:
    story.withdraw()
    found = story.at.request(request_of(story.person_id, story.partner, COACHING, purpose=REFERRAL))
    assert found.state is State.DENIED


def retraction(partner: PartnerDesk) -> Json:
    (document,) = partner.documents()
    assert document["type"] == "handschlag.retraction.v1"
    return document


def test_what_the_partner_has_is_retracted_and_the_partner_confirms(story: Story) -> None:
    disclosure_id = story.disclose()
    (delivered,) = story.partner.documents()
    story.partner.acknowledge(story.partner.signed(delivered))
    story.at.platform.deliver_messages()
    story.withdraw()
    assert story.state(disclosure_id) is State.RETRACTED
    document = retraction(story.partner)
    intent, taken_back = story.partner.receipt(delivered), story.partner.receipt(document)
    assert (document["index"], document["log"]) == (intent.index, intent.origin)
    assert document["leaf_hash"] == intent.leaf_hash.hex()
    assert (taken_back.leaf.kind, taken_back.leaf.result) == ("retraction", "consent_withdrawn")
    assert taken_back.leaf.about is not None
    assert taken_back.leaf.about.index == intent.index
    story.partner.acknowledge(story.partner.signed(document))
    assert story.state(disclosure_id) is State.RETRACTION_ACKNOWLEDGED
    assert story.results() == [
        "handed_over",
        "matched",
        "consent_withdrawn",
        "retraction_handed_over",
        "retraction_acknowledged",
    ]


def test_the_retraction_counts_on_in_the_partners_numbers(story: Story) -> None:
    story.disclose()
    (delivered,) = story.partner.documents()
    story.withdraw()
    assert (delivered["sequence"], retraction(story.partner)["sequence"]) == (1, 2)


def test_what_was_fetched_and_not_yet_acknowledged_is_retracted_too(story: Story) -> None:
    disclosure_id = story.disclose()
    story.partner.documents()
    story.withdraw()
    assert story.state(disclosure_id) is State.RETRACTED


def test_an_acknowledgement_of_the_delivery_that_comes_late_is_kept(story: Story) -> None:
    disclosure_id = story.disclose()
    (delivered,) = story.partner.documents()
    story.withdraw()
    story.partner.acknowledge(story.partner.signed(delivered))
    found = story.at.disclosure(disclosure_id)
    assert (found.state, found.match) == (State.RETRACTED, "matched")
    story.partner.acknowledge(story.partner.signed(retraction(story.partner)))
    assert story.state(disclosure_id) is State.RETRACTION_ACKNOWLEDGED


def test_another_partner_cannot_confirm_a_retraction(story: Story) -> None:
    disclosure_id = story.disclose()
    story.partner.documents()
    story.withdraw()
    stranger, document = story.at.partner(), retraction(story.partner)
    with pytest.raises(Invalid):
        stranger.acknowledge(stranger.signed(document))
    assert story.state(disclosure_id) is State.RETRACTED


def test_the_person_reads_who_was_told_and_who_confirmed(story: Story) -> None:
    reached = story.disclose()
    story.partner.documents()
    waiting = story.disclose()
    story.withdraw()
    told = {item.disclosure_id: item for item in story.report().recipients}
    assert {found: item.state for found, item in told.items()} == {
        reached: State.RETRACTED,
        waiting: State.STOPPED,
    }
    assert told[reached].acknowledged_at is None
    story.partner.acknowledge(story.partner.signed(retraction(story.partner)))
    confirmed = next(item for item in story.report().recipients if item.disclosure_id == reached)
    assert confirmed.acknowledged_at is not None
    assert confirmed.partner_id == story.partner.partner_id


def test_the_withdrawal_heard_twice_changes_nothing(story: Story) -> None:
    disclosure_id = story.disclose()
    story.partner.documents()
    story.withdraw()
    before, log = story.at.disclosure(disclosure_id), story.results()
    story.at.platform.deliver_messages(from_the_start=True)
    assert (story.at.disclosure(disclosure_id), story.results()) == (before, log)
    assert len(story.partner.documents()) == 1


def test_a_disclosure_that_rests_on_another_consent_is_left_alone(story: Story) -> None:
    other = Story(story.at)
    untouched = other.disclose()
    story.disclose()
    story.withdraw()
    assert other.state(untouched) is State.PERMITTED
    assert len(other.partner.documents()) == 1


def test_a_disclosure_that_the_law_carries_without_consent_outlives_the_withdrawal(story: Story) -> None:
    insurer = story.at.partner()
    disclosed = story.at.request(request_of(story.person_id, insurer, "master_data"))
    story.withdraw()
    assert story.state(disclosed.disclosure_id) is State.PERMITTED
    assert len(insurer.documents()) == 1


def test_while_the_log_is_away_a_withdrawal_waits_and_is_carried_out_afterwards(story: Story) -> None:
    disclosure_id = story.disclose()
    story.partner.documents()
    calls = story.at.platform.calls
    audit = calls.services.pop("audit")
    try:
        story.withdraw()
        assert story.state(disclosure_id) is State.HANDED_OVER
    finally:
        calls.services["audit"] = audit
    story.at.platform.retry_messages()
    assert story.state(disclosure_id) is State.RETRACTED


def test_while_the_register_is_away_nothing_leaves(story: Story) -> None:
    disclosure_id = story.disclose()
    calls = story.at.platform.calls
    consent = calls.services.pop("consent")
    try:
        with pytest.raises(Unavailable):
            story.partner.documents()
    finally:
        calls.services["consent"] = consent
    assert story.state(disclosure_id) is State.PERMITTED
    assert len(story.partner.documents()) == 1


def dies_while_leaving(story: Story, disclosure_id: str) -> None:
    """A process marked the document as leaving, and nobody knows whether it left."""
    with story.at.platform.contexts["exchange"].database.write() as tx:
        row = partner_queue.find(tx, story.at.agency, disclosure_id, partner_queue.Kind.DISCLOSURE)
        assert row is not None
        assert partner_queue.leave(tx, row.id, story.at.agency, story.partner.partner_id) == 1


def test_a_document_that_was_leaving_is_sent_again_under_the_same_number(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    assert [(d["id"], d["sequence"]) for d in story.partner.documents()] == [(disclosure_id, 1)]
    assert story.state(disclosure_id) is State.HANDED_OVER


def test_a_document_that_was_leaving_is_not_sent_again_once_its_consent_fell(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    story.at.withdraw(story.consent_id)
    assert story.partner.documents() == []
    assert story.state(disclosure_id) is State.PERMITTED


def test_a_document_that_may_have_left_counts_as_gone_and_is_retracted(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    story.withdraw()
    assert story.state(disclosure_id) is State.RETRACTED
    exchange = story.at.platform.contexts["exchange"]
    happened = exchange.store.agency(story.at.agency).read(Disclosure, disclosure_id)
    assert [type(record.event).__name__ for record in happened][-2:] == ["DisclosureHandedOver", "DisclosureRetracted"]
    assert retraction(story.partner)["sequence"] == 2


def test_of_several_disclosures_each_ends_as_it_stood(story: Story) -> None:
    told, both_times = story.disclose(), story.disclose()
    story.partner.documents()
    waiting = [story.disclose() for _ in range(2)]
    story.withdraw()
    assert [story.state(each) for each in (told, both_times)] == [State.RETRACTED] * 2
    assert [story.state(each) for each in waiting] == [State.STOPPED] * 2
    documents = story.partner.documents(after=2)
    assert [document["sequence"] for document in documents] == [3, 4]
    assert {document["id"] for document in documents} == {f"{each}-retraction" for each in (told, both_times)}
    assert len({story.partner.receipt(document).index for document in documents}) == 2


def test_the_reason_that_the_log_has_stands_when_another_follows_before_the_retraction_was_noted(story: Story) -> None:
    """The process died between the entry in the log and the event."""
    disclosure_id = story.disclose()
    story.partner.documents()
    first = RetractDisclosures(disclosure_ids=(disclosure_id,), reason="erase_at_reached")
    caller = Caller(service="exchange", actor="exchange", role="service", agency=story.at.agency)
    (entry,) = story.at.platform.calls.ask("audit", "log_retractions", first, Entries, caller=caller).receipts
    story.withdraw()
    document = retraction(story.partner)
    assert (document["reason"], document["leaf"]) == ("erase_at_reached", entry.leaf)
    (told,) = story.report().recipients
    assert (told.state, told.reason) == (State.RETRACTED, "erase_at_reached")


def test_a_partner_may_confirm_before_the_directory_knows_of_the_retraction(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    disclosure_id = story.disclose()
    story.partner.documents()
    story.withdraw()
    document = retraction(story.partner)
    monkeypatch.setattr("services.exchange.queries.Exchange.about_entry", lambda *_: None)
    story.partner.acknowledge(story.partner.signed(document))
    assert story.state(disclosure_id) is State.RETRACTION_ACKNOWLEDGED


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalPlatform, FixedClock]]:
    """A platform whose clock may be moved."""
    clock = FixedClock()
    with local_platform(tmp_path_factory.mktemp("own"), clock=clock) as platform:
        yield platform, clock


def test_a_consent_that_ran_out_before_the_partner_came_stops_the_delivery(
    own: tuple[LocalPlatform, FixedClock],
) -> None:
    platform, clock = own
    story = Story(Workplace.of(platform), valid_until=date(2026, 3, 3))
    disclosure_id = story.disclose()
    clock.move(days=2)
    assert story.partner.documents() == []
    assert story.state(disclosure_id) is State.STOPPED


def test_a_late_acknowledgement_is_told_from_the_retraction_also_when_the_logs_of_two_years_count_alike(
    own: tuple[LocalPlatform, FixedClock],
) -> None:
    platform, clock = own
    story = Story(Workplace.of(platform))
    disclosure_id = story.disclose()
    (delivered,) = story.partner.documents()
    clock.move(days=365)
    audit_log(platform.contexts["audit"]).append(story.at.agency, Leaf(kind="looked"), key="another")
    story.withdraw()
    document = retraction(story.partner)
    first, second = story.partner.receipt(delivered), story.partner.receipt(document)
    assert (first.index, first.origin[-4:]) == (second.index, "2026")
    assert second.origin.endswith("2027")
    story.partner.acknowledge(story.partner.signed(delivered))
    assert story.at.disclosure(disclosure_id).match == "matched"
    story.partner.acknowledge(story.partner.signed(document))
    assert story.state(disclosure_id) is State.RETRACTION_ACKNOWLEDGED


def look(platform: LocalPlatform) -> int:
    context = platform.contexts["exchange"]
    return FollowUp(context.store, context.database, context.clock).look()


def retracted(platform: LocalPlatform) -> tuple[Story, str]:
    """A story in which the partner has the data, and the person withdrew."""
    story = Story(Workplace.of(platform))
    disclosure_id = story.disclose()
    story.partner.documents()
    story.withdraw()
    return story, disclosure_id


def test_a_partner_that_does_not_confirm_is_reminded_and_its_silence_escalated(
    own: tuple[LocalPlatform, FixedClock],
) -> None:
    platform, clock = own
    story, disclosure_id = retracted(platform)
    (told,) = story.report().recipients
    assert (told.told_at, told.late, told.reminded_at, told.escalated_at) == (None, False, None, None)
    assert (told.lawful_until, told.due_at) == (told.retracted_at, clock.now() + timedelta(hours=72))
    first = story.partner.documents(after=1)
    clock.move(hours=23)
    assert look(platform) == 1
    assert story.report().recipients[0].reminded_at is None
    clock.move(hours=1)
    look(platform)
    again = story.partner.documents(after=2)
    assert [d["id"] for d in first] == [d["id"] for d in again] == [f"{disclosure_id}-retraction"]
    assert (first[0]["sequence"], again[0]["sequence"]) == (2, 3)
    clock.move(hours=49)
    look(platform)
    (told,) = story.report().recipients
    assert told.told_at is not None
    assert told.reminded_at is not None
    assert told.escalated_at == clock.now()
    assert (told.late, told.escalated_to) == (True, "beck")
    assert (story.report().complete, story.report().late) == (False, 1)
    assert story.results()[-3:] == ["retraction_handed_over", "retraction_reminded", "retraction_escalated"]


def test_looking_again_reminds_and_escalates_nobody_twice(own: tuple[LocalPlatform, FixedClock]) -> None:
    platform, clock = own
    story, disclosure_id = retracted(platform)
    for _ in range(2):
        clock.move(hours=25)
        look(platform)
        look(platform)
    clock.move(hours=100)
    look(platform)
    look(platform)
    store = platform.contexts["exchange"].store.agency(story.at.agency)
    happened = [type(record.event).__name__ for record in store.read(Retraction, disclosure_id)]
    assert happened == ["RetractionReminded", "RetractionEscalated"]


def test_a_confirmation_that_comes_late_ends_the_waiting_and_stays_late(own: tuple[LocalPlatform, FixedClock]) -> None:
    platform, clock = own
    story, _ = retracted(platform)
    (document,) = story.partner.documents(after=1)
    clock.move(hours=80)
    look(platform)
    story.partner.acknowledge(story.partner.signed(document))
    (told,) = story.report().recipients
    assert (told.state, told.late, story.report().complete) == (State.RETRACTION_ACKNOWLEDGED, True, True)
    assert look(platform) == 0


def test_who_confirms_in_time_is_neither_reminded_nor_late(own: tuple[LocalPlatform, FixedClock]) -> None:
    platform, clock = own
    story, _ = retracted(platform)
    (document,) = story.partner.documents(after=1)
    story.partner.acknowledge(story.partner.signed(document))
    clock.move(hours=200)
    assert look(platform) == 0
    (told,) = story.report().recipients
    assert (told.reminded_at, told.escalated_at, told.late) == (None, None, False)


def test_after_the_confirmation_a_reminder_that_waits_is_not_sent(own: tuple[LocalPlatform, FixedClock]) -> None:
    platform, clock = own
    story, _ = retracted(platform)
    (document,) = story.partner.documents(after=1)
    clock.move(hours=25)
    look(platform)
    story.partner.acknowledge(story.partner.signed(document))
    assert story.partner.documents(after=2) == []


def test_what_is_missing_is_listed_for_the_agency_alone(own: tuple[LocalPlatform, FixedClock]) -> None:
    platform, _ = own
    story, disclosure_id = retracted(platform)
    stranger = Workplace.of(platform)
    found = [
        at.ask("exchange", "missing_acknowledgements", MissingQuestion(), MissingAcknowledgements, role="auditor").items
        for at in (story.at, stranger)
    ]
    assert [[(each.disclosure_id, each.partner_name) for each in items] for items in found] == [
        [(disclosure_id, "Partner")],
        [],
    ]


def test_what_was_stopped_says_why(story: Story) -> None:
    story.disclose()
    story.at.ask("consent", "pause_consent", PauseConsent(consent_id=story.consent_id), Receipt)
    assert story.partner.documents() == []
    (told,) = story.report().recipients
    assert (told.state, told.stopped_because) == (State.STOPPED, "consent_paused")


def test_when_the_day_to_erase_has_come_the_recipient_is_asked_to_confirm_it(
    own: tuple[LocalPlatform, FixedClock],
) -> None:
    platform, clock = own
    story = Story(Workplace.of(platform), use=UseLimit(erase_at=date(2026, 3, 6)))
    disclosure_id = story.disclose()
    (delivered,) = story.partner.documents()
    assert delivered["erase_by"] == "2026-03-06"
    clock.move(days=4)
    context = platform.contexts["consent"]
    catch_up(context.store, REGISTER)
    pass_days(context.store, context.database, clock.today())
    platform.deliver_messages()
    (document,) = story.partner.documents(after=1)
    assert (document["type"], document["reason"]) == ("handschlag.retraction.v1", "erase_at_reached")
    story.partner.acknowledge(story.partner.signed(document))
    assert story.state(disclosure_id) is State.RETRACTION_ACKNOWLEDGED


def left_leaving(story: Story) -> int:
    """What the loop does every few seconds."""
    return retract_what_was_leaving(story.at.platform.contexts["exchange"])


def pause(story: Story) -> None:
    story.at.ask("consent", "pause_consent", PauseConsent(consent_id=story.consent_id), Receipt)


def counted_as_gone_and_taken_back(story: Story, disclosure_id: str, reason: str) -> None:
    assert story.state(disclosure_id) is State.RETRACTED
    document = retraction(story.partner)
    assert (document["reason"], document["sequence"]) == (reason, 2)
    story.partner.acknowledge(story.partner.signed(document))
    (told,) = story.report().recipients
    assert (told.state, told.reason) == (State.RETRACTION_ACKNOWLEDGED, reason)
    assert left_leaving(story) == 0


def test_what_was_leaving_when_its_process_died_is_taken_back_once_its_consent_is_paused(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    pause(story)
    assert story.partner.documents() == []
    assert left_leaving(story) == 1
    counted_as_gone_and_taken_back(story, disclosure_id, "consent_paused")


def test_what_was_leaving_when_its_process_died_is_taken_back_once_its_consent_ran_out(
    own: tuple[LocalPlatform, FixedClock],
) -> None:
    platform, clock = own
    story = Story(Workplace.of(platform), valid_until=date(2026, 3, 3))
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    clock.move(days=2)
    assert left_leaving(story) == 1
    counted_as_gone_and_taken_back(story, disclosure_id, "consent_expired")


def test_what_was_leaving_is_taken_back_also_when_the_message_of_the_withdrawal_never_came(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    story.at.withdraw(story.consent_id)
    assert left_leaving(story) == 1
    counted_as_gone_and_taken_back(story, disclosure_id, "consent_withdrawn")


def test_what_was_leaving_and_what_was_delivered_before_are_told_apart(story: Story) -> None:
    """A pause is no withdrawal: what had arrived by then stays with the partner."""
    delivered = story.disclose()
    story.partner.documents()
    leaving = story.disclose()
    with story.at.platform.contexts["exchange"].database.write() as tx:
        row = partner_queue.find(tx, story.at.agency, leaving, partner_queue.Kind.DISCLOSURE)
        assert row is not None
        partner_queue.leave(tx, row.id, story.at.agency, story.partner.partner_id)
    pause(story)
    assert left_leaving(story) == 1
    assert (story.state(delivered), story.state(leaving)) == (State.HANDED_OVER, State.RETRACTED)


def test_what_was_leaving_and_still_stands_is_left_to_whoever_delivers(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    assert left_leaving(story) == 0
    assert [document["id"] for document in story.partner.documents()] == [disclosure_id]


def test_while_the_log_is_away_what_was_leaving_waits(story: Story) -> None:
    disclosure_id = story.disclose()
    dies_while_leaving(story, disclosure_id)
    pause(story)
    calls = story.at.platform.calls
    audit = calls.services.pop("audit")
    try:
        with pytest.raises(Unavailable):
            left_leaving(story)
    finally:
        calls.services["audit"] = audit
    assert left_leaving(story) == 1
    counted_as_gone_and_taken_back(story, disclosure_id, "consent_paused")


def test_a_use_that_was_counted_before_the_process_died_is_not_asked_for_twice(jobcenter: Workplace) -> None:
    story = Story(jobcenter, use=UseLimit(times=1))
    disclosure_id = story.disclose()
    used = UseConsents(uses=(Use(use_id=disclosure_id, ids=(story.consent_id,)),))
    assert jobcenter.ask("consent", "use_consents", used, Used).fallen == ()
    assert [document["id"] for document in story.partner.documents()] == [disclosure_id]
