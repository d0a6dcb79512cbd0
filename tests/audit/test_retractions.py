"""Retractions in the log: many are asked for at once, and what was logged first stays what it is."""

import pytest

from services.audit.queries import ReceiptsView, RetractDisclosures
from services.exchange.domain.disclosure import State
from shared.audit import Leaf, verify_receipt
from shared.errors import NotFound, Refused
from shared.identity import Caller
from tests.audit.conftest import AGENCY
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import PartnerDesk, Workplace, request_of


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory):
    with local_platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture
def jobcenter(platform: LocalPlatform) -> Workplace:
    return Workplace.of(platform)


def disclosed(at: Workplace, partner: PartnerDesk) -> str:
    found = at.request(request_of(at.person(), partner, "master_data"))
    assert found.state is State.PERMITTED
    return found.disclosure_id


def retract(at: Workplace, *disclosure_ids: str, reason: str = "consent_withdrawn") -> ReceiptsView:
    asked = RetractDisclosures(disclosure_ids=disclosure_ids, reason=reason)
    caller = Caller(service="exchange", actor="exchange", role="service", agency=at.agency)
    found: ReceiptsView = at.platform.calls.ask("audit", "log_retractions", asked, ReceiptsView, caller=caller)
    return found


def test_each_has_an_entry_of_its_own_that_names_its_intent_in_the_order_asked_for(jobcenter: Workplace) -> None:
    partners = [jobcenter.partner() for _ in range(3)]
    ids = [disclosed(jobcenter, partner) for partner in partners]
    answered = retract(jobcenter, *reversed(ids)).receipts
    for disclosure_id, partner, receipt in zip(reversed(ids), reversed(partners), answered, strict=True):
        ruling = jobcenter.disclosure(disclosure_id).ruling
        verified = verify_receipt(receipt.receipt, receipt.leaf.encode(), jobcenter.log_key(receipt.receipt))
        leaf, about = verified.leaf, verified.leaf.about
        assert ruling is not None
        assert about is not None
        assert (leaf.kind, leaf.result, leaf.recipient) == ("retraction", "consent_withdrawn", partner.partner_id)
        assert (about.log, about.index) == (ruling.origin, ruling.index)
    assert len({receipt.index for receipt in answered}) == 3


def test_asked_again_with_others_it_is_the_same_entry_with_its_first_reason(jobcenter: Workplace) -> None:
    partner = jobcenter.partner()
    first, second = (disclosed(jobcenter, partner) for _ in range(2))
    (before,) = retract(jobcenter, first).receipts
    again, other = retract(jobcenter, first, second, reason="consent_paused").receipts
    assert again == before
    results = [Leaf.parse(each.leaf.encode()).result for each in (again, other)]
    assert results == ["consent_withdrawn", "consent_paused"]
    assert [leaf["kind"] for leaf in jobcenter.leaves()].count("retraction") == 2


def test_where_one_was_never_ruled_on_none_is_logged(jobcenter: Workplace) -> None:
    known = disclosed(jobcenter, jobcenter.partner())
    with pytest.raises(NotFound):
        retract(jobcenter, known, "never")
    assert [leaf["kind"] for leaf in jobcenter.leaves()] == ["intent"]


def test_another_agency_does_not_retract_it(platform: LocalPlatform, jobcenter: Workplace) -> None:
    known = disclosed(jobcenter, jobcenter.partner())
    with pytest.raises(NotFound):
        retract(Workplace.of(platform), known)


def test_what_is_appended_together_stands_in_its_order_under_one_head(log) -> None:
    leaves = {f"k-{number}": Leaf(kind="looked", result=f"r-{number}") for number in range(5)}
    entries = log.append_together(AGENCY, leaves)
    assert [Leaf.parse(each.leaf_bytes).result for each in entries] == [f"r-{number}" for number in range(5)]
    assert [each.idx for each in entries] == list(range(entries[0].idx, entries[0].idx + 5))
    assert [log.find(AGENCY, key).receipt_text for key in leaves] == [each.receipt_text for each in entries]
    assert log.append_together(AGENCY, dict(reversed(leaves.items())))[0].idx == entries[-1].idx


def test_together_too_a_key_stands_for_one_content(log) -> None:
    log.append(AGENCY, Leaf(kind="looked", result="a"), key="k-1")
    with pytest.raises(Refused):
        log.append_together(AGENCY, {"k-0": Leaf(kind="looked"), "k-1": Leaf(kind="looked", result="b")})


def test_what_is_said_under_a_key_is_said_to_its_agency_alone(log) -> None:
    entry = log.append(AGENCY, Leaf(kind="looked"), key="k-1")
    assert log.said(AGENCY, ["k-1", "k-2"]) == {"k-1": (entry.origin, entry.idx, entry.leaf_bytes)}
    assert log.said("another", ["k-1"]) == {}
