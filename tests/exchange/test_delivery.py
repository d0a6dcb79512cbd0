"""What a partner fetches and what it says about it: numbers, receipts, acknowledgements, the outcome in the log."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest

from services.exchange.domain.disclosure import Match, State
from shared.envelope import Result
from shared.errors import Invalid, NotFound
from shared.notes import Malformed
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import PartnerDesk, Workplace, fresh, request_of


@pytest.fixture
def partner(jobcenter: Workplace) -> PartnerDesk:
    return jobcenter.partner()


def disclose(partner: PartnerDesk) -> str:
    """One disclosure of master data that waits for the partner."""
    jobcenter = partner.workplace
    found = jobcenter.request(request_of(jobcenter.person(), partner, "master_data"))
    assert found.state is State.PERMITTED
    return found.disclosure_id


def test_fetching_is_what_hands_it_over(partner: PartnerDesk) -> None:
    disclosure_id = disclose(partner)
    (document,) = partner.documents()
    found = partner.workplace.disclosure(disclosure_id)
    assert (found.state, found.sequence, document["sequence"]) == (State.HANDED_OVER, 1, 1)
    assert (document["id"], found.handed_over_at is not None) == (disclosure_id, True)


def test_fetching_again_shows_the_same_and_hands_nothing_over_twice(partner: PartnerDesk) -> None:
    disclosure_id = disclose(partner)
    assert partner.documents() == partner.documents()
    handed_over = partner.workplace.disclosure(disclosure_id)
    assert (handed_over.state, handed_over.sequence) == (State.HANDED_OVER, 1)


def test_fetching_again_is_noted_once_a_day(partner: PartnerDesk) -> None:
    disclosure_id = disclose(partner)
    partner.documents()
    before = partner.workplace.disclosure(disclosure_id).version
    for _ in range(3):
        partner.documents()
    assert partner.workplace.disclosure(disclosure_id).version == before + 1


def test_numbers_count_up_without_gaps_and_a_partner_goes_on_behind_its_own(partner: PartnerDesk) -> None:
    ids = [disclose(partner) for _ in range(3)]
    first = partner.fetch(limit=2)
    rest = partner.fetch(first.next, limit=2)
    assert [item.sequence for item in (*first.items, *rest.items)] == [1, 2, 3]
    assert [item.document["id"] for item in (*first.items, *rest.items)] == ids
    assert partner.fetch(rest.next).items == ()
    assert partner.fetch(rest.next).next == rest.next


def test_the_receipt_that_travels_proves_the_entry_in_the_senders_log(partner: PartnerDesk) -> None:
    disclosure_id = disclose(partner)
    (document,) = partner.documents()
    ruling = partner.workplace.disclosure(disclosure_id).ruling
    receipt = partner.receipt(document)
    assert ruling is not None
    assert (receipt.origin, receipt.index, receipt.leaf_bytes.decode()) == (ruling.origin, ruling.index, ruling.leaf)
    assert document["receipt"] == ruling.receipt
    assert (receipt.leaf.sender, receipt.leaf.recipient) == (partner.workplace.agency, partner.partner_id)


def test_only_duties_that_bind_the_recipient_travel(partner: PartnerDesk) -> None:
    disclose(partner)
    (document,) = partner.documents()
    (notice,) = document["obligations"]
    assert (notice["id"], notice["norm"]) == ("purpose_binding_recipient", "§ 67c Abs. 1, 2 SGB X")
    assert "nur für die Aufgabe" in notice["text_de"]


def test_another_partner_sees_nothing_of_it(partner: PartnerDesk) -> None:
    disclose(partner)
    other = partner.workplace.partner("health_insurer", "sgb_v")
    assert other.documents() == []
    assert len(partner.documents()) == 1


def test_a_partner_of_the_same_name_at_another_agency_sees_nothing(
    platform: LocalPlatform, partner: PartnerDesk
) -> None:
    disclose(partner)
    namesake = PartnerDesk(Workplace.of(platform), partner.partner_id)
    assert namesake.documents() == []


@pytest.mark.parametrize("result", list(Result))
def test_the_signed_word_of_the_recipient_becomes_the_outcome(partner: PartnerDesk, result: Result) -> None:
    disclosure_id = disclose(partner)
    (document,) = partner.documents()
    assert partner.acknowledge(partner.signed(document, result)).result == result.value
    found = partner.workplace.disclosure(disclosure_id)
    assert (found.state, found.match) == (State.ACKNOWLEDGED, Match(result.value))
    partner.workplace.platform.deliver_messages()
    intent, *outcomes = partner.workplace.leaves()
    assert intent["kind"] == "intent"
    assert [leaf["result"] for leaf in outcomes] == ["handed_over", result.value]
    assert {leaf["about"]["index"] for leaf in outcomes} == {partner.receipt(document).index}


def test_the_outcome_told_twice_is_logged_once(partner: PartnerDesk) -> None:
    disclose(partner)
    partner.documents()
    partner.workplace.platform.deliver_messages()
    before = partner.workplace.leaves()
    partner.workplace.platform.deliver_messages(from_the_start=True)
    assert partner.workplace.leaves() == before
    assert [leaf["kind"] for leaf in before] == ["intent", "outcome"]


def test_the_same_acknowledgement_again_changes_nothing(partner: PartnerDesk) -> None:
    disclosure_id = disclose(partner)
    (document,) = partner.documents()
    signed = partner.signed(document)
    partner.acknowledge(signed)
    before = partner.workplace.disclosure(disclosure_id)
    assert partner.acknowledge(signed).result == "matched"
    partner.acknowledge(partner.signed(document, Result.NOT_FOUND))
    assert partner.workplace.disclosure(disclosure_id) == before


def test_what_was_acknowledged_can_still_be_fetched_again(partner: PartnerDesk) -> None:
    disclose(partner)
    (document,) = partner.documents()
    partner.acknowledge(partner.signed(document))
    assert partner.documents() == [document]


def refusal(desk: PartnerDesk, signed: str) -> tuple[Any, ...]:
    with pytest.raises(Invalid) as refused:
        desk.acknowledge(signed)
    error = refused.value
    return type(error), error.code, error.detail, error.remedy, error.problems


def encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


NOT_AN_ENTRY = (
    "{}",
    '"text"',
    '{"log": "x", "index": 1e99}',
    '{"log": "x", "index": 1e999}',
    f'{{"log": "x", "index": {"9" * 30}}}',
    '{"log": "x", "index": -1}',
    '{"log": "x", "index": true}',
    '{"log": 5, "index": 5}',
    '{"log": "\\u0000", "index": 5}',
    '{"log": "\\ud800", "index": 5}',
    "[" * 100_000,
)


def test_whatever_is_not_the_partners_word_about_its_own_delivery_is_refused_in_the_same_words(
    partner: PartnerDesk,
) -> None:
    disclosure_id = disclose(partner)
    (document,) = partner.documents()
    stranger = partner.workplace.partner("health_insurer", "sgb_v")
    disclose(stranger)
    (others,) = stranger.documents()
    impostor = PartnerDesk(partner.workplace, partner.partner_id)
    head, payload, _ = partner.signed(document).split(".")
    said = {
        "signed with another key": refusal(partner, impostor.signed(document)),
        "signed by another partner": refusal(stranger, stranger.signed(document)),
        "signed for another partner": refusal(stranger, partner.signed(document)),
        "about another partner's delivery": refusal(partner, partner.signed(others)),
        "about an entry that is not there": refusal(partner, partner.signed(document, index=999)),
        "about another log": refusal(partner, partner.signed(document, log="handschlag.example/other/2026")),
        "with another hash": refusal(partner, partner.signed(document, leaf_hash="00" * 32)),
        "without a signature": refusal(partner, f"{head}.{payload}."),
        "with the signature of something else": refusal(
            partner, f"{head}.{payload}.{partner.signed(document, Result.NOT_FOUND).split('.')[2]}"
        ),
        "not even a signed text": refusal(partner, "hello"),
        "not even JSON": refusal(partner, f"{head}.{encoded('no json')}.x"),
        "a list": refusal(partner, f"{head}.{encoded('[]')}.x"),
        **{each: refusal(partner, f"{head}.{encoded(each)}.x") for each in NOT_AN_ENTRY},
    }
    assert len(set(said.values())) == 1, said
    (error, *_), *_ = said.values()
    assert error is not Malformed
    assert partner.workplace.disclosure(disclosure_id).state is State.HANDED_OVER


def test_a_partner_nobody_knows_acknowledges_nothing(jobcenter: Workplace, partner: PartnerDesk) -> None:
    disclose(partner)
    (document,) = partner.documents()
    with pytest.raises(NotFound):
        PartnerDesk(jobcenter, fresh("partner")).acknowledge(partner.signed(document))


def test_at_most_a_hundred_documents_are_fetched_at_once(partner: PartnerDesk) -> None:
    for _ in range(2):
        disclose(partner)
    assert [item.sequence for item in partner.fetch(limit=0).items] == [1]
    assert len(partner.fetch(limit=10_000).items) == 2
