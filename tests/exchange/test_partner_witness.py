"""Partners as witnesses: the checkpoint that came with a delivery returns cosigned with the acknowledgement."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.queries import CheckpointView, ConsistencyQuestion, ConsistencyView, LogQuestion
from services.exchange.domain.disclosure import State
from services.exchange.domain.partner import Partner, WitnessKeyRegistered
from services.exchange.queries import PartnerQuestion, PartnerView
from shared.domain import Receipt
from shared.envelope import Acknowledgement, Result, sign_acknowledgement
from shared.errors import Invalid, Refused
from shared.notes import (
    COSIGNATURE,
    AddCheckpoint,
    Checkpoint,
    VerifierKey,
    claimed_checkpoint,
    cosign,
    open_note,
    sign_note,
)
from shared.witness import Witness, WitnessStore
from tests.exchange.test_partner import REGISTERED, WANTED
from tests.support.clock import FixedClock
from tests.support.given import given
from tests.support.workplace import PartnerDesk, Workplace, request_of

KEY = Ed25519PrivateKey.generate()
NAME = "partner.example"
WITNESS = VerifierKey(NAME, KEY.public_key().public_bytes_raw(), COSIGNATURE)


@pytest.fixture
def partner(jobcenter: Workplace) -> PartnerDesk:
    """A partner that is registered as a witness as well."""
    desk = jobcenter.partner()
    register(desk, str(WITNESS))
    return desk


def register(desk: PartnerDesk, key: str) -> None:
    view = desk.workplace.ask("exchange", "partner", PartnerQuestion(partner_id=desk.partner_id), PartnerView)
    wanted = replace(
        WANTED,
        partner_id=desk.partner_id,
        name=view.name,
        kind=view.kind,
        encryption_key=view.encryption_key,
        signing_key=view.signing_key,
        witness_key=key,
    )
    desk.workplace.ask("exchange", "register_partner", wanted, Receipt)


def delivered(partner: PartnerDesk) -> dict[str, Any]:
    partner.workplace.request(request_of(partner.workplace.person(), partner, "master_data"))
    return partner.documents()[-1]


def acknowledge(partner: PartnerDesk, document: dict[str, Any], cosigned: str | None) -> None:
    receipt = partner.receipt(document)
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    said = Acknowledgement(
        receipt.origin, receipt.index, receipt.leaf_hash.hex(), Result.MATCHED, at, cosigned=cosigned
    )
    partner.acknowledge(sign_acknowledgement(said, partner.signing.as_dict(private=True)))
    partner.workplace.platform.deliver_messages()


def served(partner: PartnerDesk) -> str:
    asked = LogQuestion()
    return partner.workplace.ask("audit", "checkpoint", asked, CheckpointView, role="partner_system").checkpoint


def cosigned_by_the_partner(partner: PartnerDesk, size: int) -> bool:
    """Whether the log has kept its line below the checkpoint of this size."""
    from services.audit.sequencer.cosignatures import cosigners

    database = partner.workplace.platform.contexts["audit"].database
    origin = claimed_checkpoint(served(partner)).origin
    with database.read() as tx:
        return WITNESS in cosigners(tx, origin, size)


def test_a_partner_may_register_a_witness_key_of_its_own() -> None:
    wanted = replace(WANTED, witness_key=str(WITNESS))
    given(Partner()).when(lambda p: p.register(wanted)).then(REGISTERED, WitnessKeyRegistered(key=str(WITNESS)))
    later = given(Partner(), REGISTERED).when(lambda p: p.register(wanted)).then(WitnessKeyRegistered(key=str(WITNESS)))
    later.when(lambda p: p.register(wanted)).then()
    later.when(lambda p: p.register(WANTED)).then()
    other = replace(WANTED, witness_key=str(VerifierKey("other.example", bytes(32), COSIGNATURE)))
    later.refused(lambda p: p.register(other), "partner.already_registered")


@pytest.mark.parametrize(
    "key", ["", "nonsense", str(VerifierKey(NAME, bytes(32))), f"{WITNESS} "], ids=["empty", "word", "log key", "space"]
)
def test_what_is_no_witness_key_is_refused_by_its_field(jobcenter: Workplace, key: str) -> None:
    desk = jobcenter.partner()
    with pytest.raises(Invalid) as refused:
        register(desk, key)
    assert [problem.pointer for problem in refused.value.problems] == ["/witness_key"]


def test_another_witness_key_does_not_take_the_place_of_the_first(partner: PartnerDesk) -> None:
    with pytest.raises(Refused):
        register(partner, str(VerifierKey("other.example", bytes(32), COSIGNATURE)))


def test_the_cosignature_that_comes_with_an_acknowledgement_is_kept_below_its_checkpoint(partner: PartnerDesk) -> None:
    document = delivered(partner)
    note = document["checkpoint"]
    acknowledge(partner, document, note + cosign(note, NAME, KEY, 1_790_000_000))
    assert cosigned_by_the_partner(partner, claimed_checkpoint(note).size)
    partner.workplace.platform.deliver_messages(from_the_start=True)
    assert cosigned_by_the_partner(partner, claimed_checkpoint(note).size)


def test_a_partner_that_is_no_witness_acknowledges_as_before(jobcenter: Workplace) -> None:
    desk = jobcenter.partner()
    document = delivered(desk)
    note = document["checkpoint"]
    acknowledge(desk, document, note + cosign(note, NAME, KEY, 1))
    assert desk.workplace.disclosure(document["id"]).state is State.ACKNOWLEDGED
    assert not cosigned_by_the_partner(desk, claimed_checkpoint(note).size)


def lies(note: str) -> list[str]:
    head = claimed_checkpoint(note)
    stranger = Ed25519PrivateKey.generate()
    own_log = sign_note(str(Checkpoint(head.origin, head.size, bytes(32))), (head.origin, stranger))
    return [
        note,
        "nonsense",
        note + cosign(note, NAME, stranger, 1),
        note + cosign(own_log, NAME, KEY, 1),
        own_log + cosign(own_log, NAME, KEY, 1),
        f"{head}\n{cosign(note, NAME, KEY, 1)}",
    ]


@pytest.mark.parametrize("which", range(6))
def test_a_cosignature_that_does_not_hold_is_left_out_and_the_acknowledgement_counts(
    partner: PartnerDesk, which: int
) -> None:
    document = delivered(partner)
    acknowledge(partner, document, lies(document["checkpoint"])[which])
    assert partner.workplace.disclosure(document["id"]).state is State.ACKNOWLEDGED
    assert not cosigned_by_the_partner(partner, claimed_checkpoint(document["checkpoint"]).size)


def test_a_cosignature_that_is_no_text_is_no_acknowledgement(partner: PartnerDesk) -> None:
    document = delivered(partner)
    with pytest.raises(Invalid):
        acknowledge(partner, document, 7)  # type: ignore[arg-type]


def test_the_checkpoint_of_another_agency_is_not_cosigned_here(platform: Any, partner: PartnerDesk) -> None:
    other = delivered(Workplace.of(platform).partner())
    document = delivered(partner)
    note = other["checkpoint"]
    acknowledge(partner, document, note + cosign(note, NAME, KEY, 1))
    assert not cosigned_by_the_partner(partner, claimed_checkpoint(note).size)


def test_the_receiver_can_ask_whether_each_checkpoint_continues_the_one_before(
    partner: PartnerDesk, tmp_path: Path
) -> None:
    """What a partner does as a witness, through the interface that partners have: three deliveries, one history."""
    known: list[VerifierKey] = []
    seen = 0
    for _ in range(3):
        document = delivered(partner)
        note = document["checkpoint"]
        known = known or [VerifierKey.parse(partner.workplace.log_key(document["receipt"]))]
        witness = Witness(NAME, KEY, WitnessStore.make(tmp_path), FixedClock(), known)
        new = claimed_checkpoint(note).size
        proof: tuple[bytes, ...] = ()
        if seen:
            question = ConsistencyQuestion(old=seen, new=new)
            found = partner.workplace.ask("audit", "consistency", question, ConsistencyView, role="partner_system")
            proof = tuple(map(bytes.fromhex, found.proof))
        line = witness.add_checkpoint(AddCheckpoint(seen, proof, note))
        acknowledge(partner, document, note + line)
        assert cosigned_by_the_partner(partner, new)
        seen = new


def test_a_newer_checkpoint_that_the_partner_fetched_itself_may_be_cosigned_instead(partner: PartnerDesk) -> None:
    document = delivered(partner)
    partner.workplace.platform.deliver_messages()
    note = served(partner)
    key = VerifierKey.parse(partner.workplace.log_key(document["receipt"]))
    assert [each.key for each in open_note(note, [key, WITNESS]).signatures] == [key]
    acknowledge(partner, document, note + cosign(note, NAME, KEY, 1_790_000_000))
    size = claimed_checkpoint(note).size
    assert cosigned_by_the_partner(partner, size)
