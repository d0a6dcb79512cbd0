"""Partners and their keys, agencies, and the reference under which a partner knows a person."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from services.exchange.domain.agency import Agency, AgencyRegistered, Kind, RegisterAgency
from services.exchange.domain.pairwise_reference import PairwiseReference, ReferenceAssigned
from services.exchange.domain.partner import Channel, Partner, PartnerRegistered, RegisterPartner
from shared.domain import Json, Receipt
from shared.errors import Invalid, NotFound
from tests.support.given import given
from tests.support.local_platform import LocalPlatform
from tests.support.workplace import PartnerDesk, Workplace, fresh, request_of

KIND = Kind(body="pension_insurer", domain="sgb_vi")
X25519, ED25519 = OKPKey.generate_key("X25519"), OKPKey.generate_key("Ed25519")


RSA_4096: Json = {
    "kty": "RSA",
    "e": "AQAB",
    "n": urlsafe_b64encode(bytes([255]) * 511 + bytes([1])).decode().rstrip("="),
}
"""A public key to which one can seal; nobody has its private part."""


def public(key: Any) -> Json:
    return dict(key.as_dict(private=False))


def private(key: Any) -> Json:
    return dict(key.as_dict(private=True))


WANTED = RegisterPartner(
    partner_id="drv",
    name="Rentenversicherung",
    kind=KIND,
    channel=Channel.FEED,
    encryption_key=public(X25519),
    signing_key=public(ED25519),
)
REGISTERED = PartnerRegistered(
    name="Rentenversicherung",
    kind=KIND,
    channel=Channel.FEED,
    encryption_key=public(X25519),
    signing_key=public(ED25519),
)


def test_a_partner_is_registered_with_two_public_keys() -> None:
    given(Partner()).when(lambda p: p.register(WANTED)).then(REGISTERED)


def test_the_same_registration_again_changes_nothing() -> None:
    given(Partner(), REGISTERED).when(lambda p: p.register(WANTED)).then()


def test_a_partners_keys_are_not_exchanged_by_registering_it_anew() -> None:
    other = replace(WANTED, signing_key=public(OKPKey.generate_key("Ed25519")))
    given(Partner(), REGISTERED).refused(lambda p: p.register(other), "partner.already_registered")


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("encryption_key", private(X25519)),
        ("signing_key", private(ED25519)),
        ("encryption_key", private(RSAKey.generate_key(2048))),
        ("encryption_key", public(ED25519)),
        ("signing_key", public(X25519)),
        ("encryption_key", public(OKPKey.generate_key("X448"))),
        ("signing_key", public(OKPKey.generate_key("Ed448"))),
        ("encryption_key", public(ECKey.generate_key("P-256"))),
        ("signing_key", private(OctKey.generate_key(256))),
        ("signing_key", {}),
        ("signing_key", {"kty": "OKP", "crv": "Ed25519"}),
        ("encryption_key", {"kty": "OKP", "crv": "X25519", "x": "too-short"}),
        ("encryption_key", public(RSAKey.generate_key(2048))),
    ],
)
def test_a_private_key_or_one_of_another_kind_is_refused_by_its_field(field: str, key: Json) -> None:
    with pytest.raises(Invalid) as refused:
        Partner().register(replace(WANTED, **{field: key}))  # type: ignore[arg-type]
    (problem,) = refused.value.problems
    assert problem.pointer == f"/{field}"
    assert str(key.get("d", "never")) not in str(refused.value)


def test_an_rsa_key_of_4096_bits_will_do_for_encryption_only() -> None:
    assert Partner().register(replace(WANTED, encryption_key=RSA_4096))
    with pytest.raises(Invalid):
        Partner().register(replace(WANTED, signing_key=RSA_4096))


def test_what_is_disclosed_is_sealed_for_the_kind_of_key_that_was_registered(jobcenter: Workplace) -> None:
    desk = PartnerDesk(jobcenter, fresh("partner"))
    wanted = replace(WANTED, partner_id=desk.partner_id, encryption_key=RSA_4096)
    jobcenter.ask("exchange", "register_partner", wanted, Receipt)
    jobcenter.request(request_of(jobcenter.person(), desk, "master_data"))
    (document,) = desk.documents()
    header = json.loads(urlsafe_b64decode(document["envelope"].split(".")[0] + "=="))
    assert (header["alg"], header["suite"]) == ("RSA-OAEP-256", "RSA-OAEP-256/A256GCM")


def test_an_agency_is_registered_once_and_stays_what_it_is() -> None:
    wanted = RegisterAgency(agency_id="jc", name="Jobcenter", kind=Kind(body="jobcenter", domain="sgb_ii"))
    registered = AgencyRegistered(name="Jobcenter", kind=wanted.kind)
    given(Agency()).when(lambda a: a.register(wanted)).then(registered).when(lambda a: a.register(wanted)).then()
    other = replace(wanted, kind=KIND)
    given(Agency(), registered).refused(lambda a: a.register(other), "agency.already_registered")


def test_a_reference_is_assigned_once_and_for_good() -> None:
    first = ReferenceAssigned(person_id="p-1", partner_id="drv", reference="aa")
    assigned = given(PairwiseReference()).when(lambda r: r.assign("p-1", "drv", "aa")).then(first)
    assigned.when(lambda r: r.assign("p-1", "drv", "bb")).then().holds(lambda r: r.reference, "aa")


@pytest.mark.parametrize(
    ("kind", "pointer"),
    [
        (Kind(body="circus", domain="sgb_vi"), "/kind/body"),
        (Kind(body="pension_insurer", domain="sgb_v"), "/kind/domain"),
    ],
)
def test_a_partner_is_of_a_kind_that_the_law_knows(jobcenter: Workplace, kind: Kind, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("exchange", "register_partner", replace(WANTED, kind=kind), Receipt)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_without_a_broker_a_partner_fetches_from_its_feed(jobcenter: Workplace) -> None:
    wanted = replace(WANTED, partner_id=fresh("partner"), channel=Channel.AMQP)
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("exchange", "register_partner", wanted, Receipt)
    assert [problem.pointer for problem in refused.value.problems] == ["/channel"]


def test_a_partner_of_another_agency_is_unknown_here(platform: LocalPlatform, jobcenter: Workplace) -> None:
    foreign = Workplace.of(platform).partner()
    with pytest.raises(NotFound) as refused:
        jobcenter.request(request_of(jobcenter.person(), foreign, "master_data"))
    assert [problem.pointer for problem in refused.value.problems] == ["/partner_id"]


def test_two_partners_know_one_person_under_two_references_and_each_always_under_the_same(
    jobcenter: Workplace,
) -> None:
    person_id, other = jobcenter.person(), jobcenter.person()
    pension, health = jobcenter.partner(), jobcenter.partner("health_insurer", "sgb_v")

    def reference(person: str, partner: PartnerDesk) -> str:
        disclosed = jobcenter.request(request_of(person, partner, "master_data"))
        sent = next(d for d in partner.documents() if d["id"] == disclosed.disclosure_id)
        header = str(sent["envelope"]).split(".")[0]
        return str(json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["reference"])

    first, again = reference(person_id, pension), reference(person_id, pension)
    assert first == again
    assert len({first, reference(person_id, health), reference(other, pension)}) == 3
    assert person_id not in first
