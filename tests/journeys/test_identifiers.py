"""Two partners put everything side by side that they received about one person outside the sealed content."""

import json
import re
from base64 import urlsafe_b64decode
from typing import Any

from services.command.demo.world import AGENCY, PARTNERS
from tests.journeys.acting import Office
from tests.support.platform import Platform

PENSION, HEALTH = PARTNERS
TOKEN = re.compile(r"[0-9A-Za-z_+/=-]{8,}")


def received(platform: Platform, partner: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = platform.machine(partner).get("/feed", after=0, limit=100)["items"]
    return [item["document"] for item in items]


def outside(document: dict[str, Any]) -> set[str]:
    """Every word of a document, its envelope's header included, that could be a name for something.

    Not the proof and the checkpoint: they are hashes of the tree, which tell where in the log an entry stands and
    thereby how much an agency logs, but never about whom; `verify_receipt` refuses a receipt that holds anything else.
    """
    header = str(document.get("envelope", "")).split(".")[0]
    opened = urlsafe_b64decode(header + "=" * (-len(header) % 4)).decode()
    return set(TOKEN.findall(json.dumps({**document, "envelope": "", "receipt": "", "checkpoint": ""}) + opened))


def test_two_partners_find_no_common_name_for_a_person(embedded_platform: Platform) -> None:
    office = Office(embedded_platform).open()
    person = office.person("Gemeinsame Person")
    documents: dict[str, list[dict[str, Any]]] = {partner: [] for partner in PARTNERS}
    known = {partner: {document["id"] for document in received(embedded_platform, partner)} for partner in PARTNERS}

    def collect(partner: str) -> None:
        fresh = [each for each in received(embedded_platform, partner) if each["id"] not in known[partner]]
        documents[partner] += fresh
        known[partner] |= {document["id"] for document in fresh}

    for partner in (PENSION, HEALTH):
        consent = office.consent(person, partner, ["master_data"])
        office.disclose(person, partner, ["master_data"])
        collect(partner)
        office.worker.post(f"/consents/{consent}/withdrawal", {}, "ids-" + consent)
        wait_for_retraction(office, consent)
        collect(partner)
    kinds = [[document["type"] for document in found] for found in documents.values()]
    assert kinds == [["handschlag.delivery.v1", "handschlag.retraction.v1"]] * 2
    mine = {partner: set().union(*map(outside, found)) for partner, found in documents.items()}
    assert (mine[PENSION] & mine[HEALTH]) - words_of_the_installation(documents) == set()


def test_one_partner_knows_a_person_under_one_reference(embedded_platform: Platform) -> None:
    office = Office(embedded_platform).open()
    person = office.person("Wiederkehrende Person")
    office.consent(person, HEALTH, ["master_data"])
    ids = [office.disclose(person, HEALTH, ["master_data"])["disclosure_id"] for _ in range(2)]
    found = {document["id"]: document for document in received(embedded_platform, HEALTH)}
    references = {header_of(found[each])["reference"] for each in ids}
    assert len(references) == 1


def header_of(document: dict[str, Any]) -> dict[str, Any]:
    header = document["envelope"].split(".")[0]
    opened: dict[str, Any] = json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    return opened


def wait_for_retraction(office: Office, consent: str) -> None:
    for _ in range(200):
        report = office.worker.get(f"/consents/{consent}/withdrawal")
        if all(each["state"] == "retracted" for each in report["recipients"]):
            return


def words_of_the_installation(documents: dict[str, list[dict[str, Any]]]) -> set[str]:
    """What every document says, whoever it is about: names of fields and formats, the law applied, the log's name."""
    found = [document for received in documents.values() for document in received]
    leaves = [json.loads(document["leaf"]) for document in found]
    law = ("norms", "rule_set", "obligations", "categories", "purpose", "sender", "kind", "decision", "result")
    said = [[leaf[name] for name in law] for leaf in leaves] + [document["type"] for document in found]
    fields = [name for each in (*found, *leaves) for name in each] + ["content.master_data", "handschlag.example"]
    fields += [name for leaf in leaves for name in leaf["commitments"]]
    header = header_of(next(document for document in found if "envelope" in document))
    about_nobody = {name: header[name] for name in ("alg", "enc", "typ", "suite", "log")}
    times = [leaf["time"][:length] for leaf in leaves for length in (10, 13)]
    return set(TOKEN.findall(json.dumps([said, fields, list(header), about_nobody, times, AGENCY])))
