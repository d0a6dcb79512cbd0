"""A person is erased: afterwards nothing in files, databases, queues, logs, traces or backups says who or what.

The search is made twice. Once as a thief makes it, through the bytes that lie about. And once with every key that the
installation and its partners still have, through all events, drafts and letters: only there an erasure shows, since
everything was sealed before. The search proves itself by finding the person before the erasure.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.verify_receipt import verify_receipt
from services import SERVICES
from services.command.demo.world import AGENCY, PARTNERS
from shared.audit import VerifiedReceipt
from shared.audit import verify_receipt as verified
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database
from shared.domain import Erased
from shared.envelope import open_envelope
from shared.errors import Unavailable
from shared.eventstore import EventStore
from shared.schema import dump
from tests.journeys.acting import Office, new_key
from tests.journeys.test_leaks import broker_folder, postgres_text, sqlite_text
from tests.support.leaks import leaks_in, leaks_under
from tests.support.platform import Platform, embedded

NAME, BIRTH_DATE = "Ottilie Quendelwasser-Zabel", "1979-12-21"
SECRET, WISH = "Befundtext-Kolibri-4711", "Wunsch-Eisvogel-0815"
WORDS = (NAME, "Quendelwasser", BIRTH_DATE, SECRET, WISH)
NOT_OURS = ("demo.json",)
PENSION, HEALTH = PARTNERS
DONE_WITHIN = 60.0


def live(office: Office) -> tuple[str, list[str]]:
    """A person lives through a lot: recorded, allowing, disclosed to two partners, asking for access."""
    person = office.person(NAME, BIRTH_DATE)
    for category in ("health_data", "contact_log"):
        office.worker.post("/entries", {"person_id": person, "category": category, "content": SECRET}, new_key())
    office.worker.post("/cases", {"person_id": person, "main_companion": "demo-fachkraft"}, new_key())
    made = []
    for partner in (PENSION, HEALTH):
        office.consent(person, partner, ["master_data", "health_data"])
        made.append(office.disclose(person, partner, ["master_data", "health_data"], reasons=f"{NAME} braucht sie"))
        assert made[-1]["state"] in ("permitted", "handed_over"), made[-1]["answer"]
    asked = {"person_id": person, "right": "access", "wish": WISH}
    office.worker.post("/rights", asked, new_key())
    return person, [each["disclosure_id"] for each in made]


def erase(office: Office, person: str) -> str:
    body = {"person_id": person, "right": "erasure", "wish": WISH}
    request = office.worker.post("/rights", body, new_key())["request_id"]
    answer = {"outcome": "granted", "reasons": f"Für {NAME}: Zweck erfüllt", "decided_by": "demo-fachkraft"}
    office.worker.post(f"/rights/{request}/answer", answer, new_key())
    return str(request)


def wait_until_complete(office: Office, erasure: str) -> dict[str, Any]:
    ends = time.monotonic() + DONE_WITHIN
    while True:
        found = office.worker.get(f"/erasures/{erasure}")
        if found["completed_at"]:
            return found
        assert time.monotonic() < ends, f"still waiting for {found['waiting']}"
        time.sleep(0.2)


def through_the_eyes_of_the_keys(platform: Platform, folder: Path | None = None) -> Iterator[tuple[str, bytes]]:
    """Everything that any key of the installation or its partners opens: events, drafts, letters to partners."""
    for service in SERVICES:
        url = platform.settings.database_url(service) if folder is None else f"sqlite:///{folder / service}.db"
        database = Database(url)
        custody = FileCustody(platform.settings.keys / f"{service}-persons.json")
        keys = PersonKeys(database, custody, platform.settings.clock())
        store = EventStore(database, keys, platform.settings.clock(), service=service)
        reached = 0
        while records := store.follow(reached, 500):
            for record in records:
                yield f"{service} {record.stream}", json.dumps(dump(record.event), ensure_ascii=False).encode()
            reached = records[-1].position
        if service == "exchange":
            yield from letters(platform, database, keys)
        database.close()


def letters(platform: Platform, database: Database, keys: PersonKeys) -> Iterator[tuple[str, bytes]]:
    with database.read() as tx:
        queued = tx.execute(sa.text("select partner_id, document from partner_queue")).all()
        drafts = tx.execute(
            sa.text(
                "select d.disclosure_id, d.sealed, l.person_id from draft d"
                " join disclosure_list l on l.disclosure_id = d.disclosure_id"
            )
        ).all()
    for partner_id, document in queued:
        content = json.loads(document)
        if "envelope" in content:
            own = platform.world.partner_keys(partner_id)["encryption_key"]
            opened = open_envelope(content["envelope"], own, receipt_of(platform, content), recipient=partner_id)
            yield f"letter to {partner_id}", json.dumps(opened.content, ensure_ascii=False).encode()
    for disclosure_id, sealed, person_id in drafts:
        bound = f"draft\n{AGENCY}\n{disclosure_id}".encode()
        opened_draft = keys.open(AGENCY, person_id, sealed, bound)
        if not isinstance(opened_draft, Erased):
            yield f"draft of {disclosure_id}", opened_draft


def receipt_of(platform: Platform, document: dict[str, Any]) -> VerifiedReceipt:
    return verified(document["receipt"], document["leaf"].encode(), log_key(platform))


def log_key(platform: Platform) -> str:
    return str(platform.machine("datenschutz-demo").get("/log/key")["key"])


def found_with_keys(platform: Platform, folder: Path | None = None) -> set[str]:
    texts = through_the_eyes_of_the_keys(platform, folder)
    return {leak.place.split()[0] for place, text in texts for leak in leaks_in(place, text, WORDS)}


def receipts_verify(platform: Platform, disclosures: list[str]) -> None:
    auditor, key = platform.machine("datenschutz-demo"), log_key(platform)
    for disclosure_id in disclosures:
        found = auditor.get(f"/log/receipts/{disclosure_id}")
        assert verify_receipt(found["receipt"], found["leaf"].encode(), key)


def leaves(platform: Platform) -> Iterator[dict[str, Any]]:
    auditor = platform.machine("datenschutz-demo")
    after: int | None = -1
    while after is not None:
        page = auditor.get("/log/entries", after=after, limit=500)
        yield from (json.loads(item["leaf"]) for item in page["items"] if item["leaf"])
        after = page["next"]


def test_after_an_erasure_nothing_is_found_and_every_receipt_still_verifies(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    with embedded(state) as platform:
        office = Office(platform).open()
        person, disclosures = live(office)
        other = office.person("Berta Bleibt", "1971-01-01")
        assert found_with_keys(platform) >= {"cases", "health", "exchange", "letter"}, "the search must find her first"
        erasure = erase(office, person)
        done = wait_until_complete(office, erasure)
        assert {each["service"] for each in done["confirmed"]} == set(SERVICES)

        assert found_with_keys(platform) == set()
        assert list(leaks_under(state, WORDS, NOT_OURS)) == []
        assert [leak for name, text in sqlite_text(state) for leak in leaks_in(name, text, WORDS)] == []
        assert (state / "spans.jsonl").stat().st_size > 0
        assert (state / "platform.log").stat().st_size > 0

        receipts_verify(platform, disclosures)
        assert [leaf["result"] for leaf in leaves(platform) if leaf["kind"] == "erasure"] == ["person_erased"]
        assert [leaf["result"] for leaf in leaves(platform) if leaf["kind"] == "notice"] == []

        assert office.worker.get(f"/persons/{person}")["name"] == {"$erased": True}
        assert office.worker.get(f"/persons/{other}")["name"] == "Berta Bleibt"
        assert office.worker.get("/ledger", person_id=person)["items"] == []
        unknown = {"person_id": new_key(), "reason": "retention_ended"}
        answer = office.worker.post("/erasures", unknown, new_key(), expect=(404,))
        assert answer["code"] == "erasure.person_unknown"

        backup.mkdir()
        for file in state.glob("*.db*"):
            shutil.copy(file, backup / file.name)
    assert list(leaks_under(backup, WORDS)) == []


def test_a_partner_that_has_the_data_is_told_and_confirms(tmp_path: Path) -> None:
    with embedded(tmp_path) as platform:
        office = Office(platform).open()
        person, disclosures = live(office)
        partner = platform.machine(PENSION)
        delivered = partner.get("/feed")["items"]
        assert len(delivered) == 1
        wait_until_complete(office, erase(office, person))
        (notice,) = (item["document"] for item in partner.get("/feed", after=0)["items"])
        assert (notice["type"], notice["change"]) == ("handschlag.notice.v1", "erased")
        assert notice["index"] == receipt_of(platform, delivered[0]["document"]).index
        receipt_of(platform, notice)
        assert platform.machine(HEALTH).get("/feed")["items"] == [], "what waited was stopped"
        receipts_verify(platform, disclosures)


@pytest.mark.timeout(600)
def test_an_erasure_survives_kills(tmp_path: Path) -> None:
    """Killed at growing distances from the order; each time it completes after the restart, once."""
    with embedded(tmp_path) as platform:
        office = Office(platform).open()
        erasures = []
        for pause in (0.0, 0.03, 0.1, 0.3):
            person, _ = live(office)
            erasures.append(erase(office, person))
            time.sleep(pause)
            platform.restart("platform")
            platform.wait_until_ready()
        for erasure in erasures:
            wait_until_complete(office, erasure)
        assert found_with_keys(platform) == set()
        results = [leaf["result"] for leaf in leaves(platform) if leaf["kind"] == "erasure"]
        assert results == ["person_erased"] * len(erasures)


def test_a_restored_backup_opens_nothing_once_its_wrapping_keys_are_gone(tmp_path: Path) -> None:
    state, backup = tmp_path / "state", tmp_path / "backup"
    with embedded(state) as platform:
        office = Office(platform).open()
        person, _ = live(office)
        backup.mkdir()
        for file in state.glob("*.db*"):
            shutil.copy(file, backup / file.name)
        assert found_with_keys(platform, backup) >= {"cases", "health"}, "a fresh backup is as readable as the database"
        wait_until_complete(office, erase(office, person))
        for service in SERVICES:
            custody = FileCustody(platform.settings.keys / f"{service}-persons.json")
            old = custody.info().current
            custody.rotate()
            database = Database(platform.settings.database_url(service))
            PersonKeys(database, custody, platform.settings.clock()).rewrap()
            database.close()
            custody.destroy(old)
        with pytest.raises(Unavailable, match="key_missing"):
            found_with_keys(platform, backup)
        assert list(leaks_under(backup, WORDS)) == []
        assert office.worker.get(f"/persons/{office.person('Berta Bleibt')}")["name"] == "Berta Bleibt"


@pytest.mark.timeout(300)
def test_on_real_servers_an_erasure_completes_and_nothing_is_found(deployed_platform: Platform) -> None:
    platform = deployed_platform
    office = Office(platform).open()
    person, disclosures = live(office)
    assert found_with_keys(platform) >= {"cases", "health"}
    wait_until_complete(office, erase(office, person))
    assert found_with_keys(platform) == set()
    stored = [leak for name, text in postgres_text(platform) for leak in leaks_in(name, text, WORDS)]
    files = list(leaks_under(platform.settings.state, WORDS, NOT_OURS))
    broker = list(leaks_under(broker_folder(platform), WORDS))
    assert stored + files + broker == []
    receipts_verify(platform, disclosures)
