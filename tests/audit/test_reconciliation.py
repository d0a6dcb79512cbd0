"""What partners signed and what the log says agree, and where they do not, it is found from both sides."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from services.audit.asks import Asks, on_behalf_of
from services.audit.evidence import audit_log
from services.audit.handlers import Office
from services.audit.reconciling import (
    ACKNOWLEDGEMENT_MISSING,
    ENTRY_UNKNOWN,
    NOT_PROVEN,
    OUTCOME_MISSING,
    Reconciled,
    Reconciliation,
)
from shared.errors import Unavailable
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import REFERRAL, PartnerDesk, Workplace, request_of

CATEGORY = "coaching_content"


@dataclass
class Place:
    platform: LocalPlatform
    clock: FixedClock
    at: Workplace
    partner: PartnerDesk
    consent: str = ""

    @property
    def log(self):
        return audit_log(self.platform.contexts["audit"])

    @property
    def office(self) -> Office:
        store = self.platform.contexts["audit"].store.agency(self.at.agency)
        return Office(self.at.agency, store, self.log, self.clock)

    def acknowledged(self) -> str:
        """A disclosure that the partner took and signed for, all messages delivered."""
        person = self.at.person()
        self.at.entry(person, CATEGORY)
        self.consent = self.at.consent(person, self.partner.partner_id, CATEGORY)
        wanted = request_of(person, self.partner, CATEGORY, purpose=REFERRAL)
        self.at.request(wanted)
        document = next(each for each in self.partner.documents() if each["id"] == wanted.disclosure_id)
        self.partner.acknowledge(self.partner.signed(document))
        self.platform.deliver_messages()
        return wanted.disclosure_id

    def run(self) -> Reconciled:
        context = self.platform.contexts["audit"]
        return Reconciliation(
            self.office, Asks(context.calls, on_behalf_of(self.at.agency, "check")), context.database
        ).run()

    def codes(self) -> list[str]:
        return [each.code for each in self.run().findings]

    def tamper(self, *statements: str) -> None:
        with self.platform.contexts["audit"].database.write() as tx:
            for statement in statements:
                tx.execute(text(statement))


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    clock = FixedClock()
    with local_platform(tmp_path, clock=clock) as platform:
        at = Workplace.of(platform)
        yield Place(platform, clock, at, at.partner("measure_provider", "provider"))


def test_what_was_signed_and_what_was_logged_agree(place):
    place.acknowledged()
    place.acknowledged()
    assert place.run() == Reconciled(acknowledgements=2, outcomes=2, findings=())


def test_a_retraction_that_was_confirmed_agrees_too(place):
    place.acknowledged()
    place.at.withdraw(place.consent)
    place.platform.deliver_messages()
    document = next(each for each in place.partner.documents() if each["type"] == "handschlag.retraction.v1")
    place.partner.acknowledge(place.partner.signed(document))
    place.platform.deliver_messages()
    assert place.run() == Reconciled(acknowledgements=2, outcomes=2, findings=())


def test_an_outcome_that_disappeared_from_the_log_is_missed(place):
    place.acknowledged()
    place.tamper("drop trigger entry_no_delete", "delete from entry where kind = 'outcome'")
    assert place.codes() == [OUTCOME_MISSING]


def test_an_entry_that_was_exchanged_does_not_fit_what_the_partner_signed(place):
    place.acknowledged()
    place.acknowledged()
    other = "select e.bytes from entry e where e.kind = 'intent' and e.idx <> entry.idx"
    place.tamper(
        "drop trigger entry_no_update",
        f"update entry set bytes = ({other}) where kind = 'intent'",
    )
    assert set(place.codes()) == {ENTRY_UNKNOWN}


def test_an_acknowledgement_about_an_entry_that_is_not_there_is_found(place, monkeypatch):
    place.acknowledged()
    real = Asks.acknowledgements

    def moved(asks, after):
        page = real(asks, after)
        items = tuple(type(each)(**{**vars(each), "index": each.index + 40}) for each in page.items)
        return type(page)(items=items, next=page.next)

    monkeypatch.setattr(Asks, "acknowledgements", moved)
    assert place.codes() == [ENTRY_UNKNOWN]


@pytest.mark.parametrize("change", ["signed", "partner_id", "result", "signing_key"])
def test_a_word_that_the_partner_did_not_give_so_is_found(place, monkeypatch, change):
    place.acknowledged()
    real = Asks.acknowledgements
    other = {
        "signed": "a.b.c",
        "partner_id": "another",
        "result": "not_found",
        "signing_key": place.at.partner().signing.as_dict(private=False),
    }

    def changed(asks, after):
        page = real(asks, after)
        items = tuple(type(each)(**{**vars(each), change: other[change]}) for each in page.items)
        return type(page)(items=items, next=page.next)

    monkeypatch.setattr(Asks, "acknowledgements", changed)
    assert place.codes() == [NOT_PROVEN]


def test_an_outcome_that_nobody_signed_is_found(place):
    disclosure_id = place.acknowledged()
    place.office.record_outcome(disclosure_id, "outcome", "not_found", "made-up")
    assert place.codes() == [ACKNOWLEDGEMENT_MISSING]


def test_what_was_found_is_kept_and_goes_when_it_is_mended(place):
    place.acknowledged()
    place.tamper(
        "drop trigger entry_no_delete",
        "create table kept as select * from entry where kind = 'outcome'",
        "delete from entry where kind = 'outcome'",
    )
    assert place.codes() == [OUTCOME_MISSING]
    place.tamper("insert into entry select * from kept")
    assert place.codes() == []


def test_entries_that_went_at_the_end_of_retention_are_passed_over(place):
    place.acknowledged()
    place.tamper("drop trigger entry_no_delete", "delete from entry where kind in ('intent', 'outcome')")
    assert place.codes() == []


def test_many_pages_are_compared_like_one(place, monkeypatch):
    monkeypatch.setattr("services.audit.reconciling.PAGE", 2)
    for _ in range(3):
        place.acknowledged()
    pauses = []
    context = place.platform.contexts["audit"]
    asks = Asks(context.calls, on_behalf_of(place.at.agency, "check"))
    done = Reconciliation(place.office, asks, context.database, lambda: pauses.append(1)).run()
    assert (done.acknowledgements, done.outcomes, done.findings) == (3, 3, ())
    assert len(pauses) > 2


def test_while_the_exchange_is_away_the_findings_of_before_stay(place, monkeypatch):
    disclosure_id = place.acknowledged()
    place.office.record_outcome(disclosure_id, "outcome", "not_found", "made-up")
    place.run()

    def away(*_, **__):
        raise Unavailable("exchange.unavailable")

    monkeypatch.setattr(Asks, "acknowledgements", away)
    with pytest.raises(Unavailable):
        place.run()
    with place.platform.contexts["audit"].database.read() as tx:
        assert tx.execute(text("select count(*) from finding where source = 'reconcile'")).scalar() == 1
