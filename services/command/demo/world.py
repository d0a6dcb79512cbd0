"""The demonstration world: one agency, two partners, demonstration persons and programs, each with its secrets.

Everybody in it is invented and marked as such. Written once into `<state>/demo.json` (mode 0600), where the
development sign-in reads clients and persons; the partners' private keys lie beside it, as they would lie with them.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from joserfc.jwk import OKPKey

from services.command.witness import identity, provide_witness
from shared.files import write_once
from shared.notes import COSIGNATURE, VerifierKey

AGENCY = "jobcenter-demo"
PERSON_NAME = "Wiebke Sonnentau-Kranich"
PERSON_BIRTH_DATE = "1987-03-14"
PERSON_CONTACT = "Telefon 0151 0000417 (Demo)"

PARTNERS = {
    "rentenversicherung-demo": ("Rentenversicherung Demo", "pension_insurer", "sgb_vi"),
    "krankenkasse-demo": ("Krankenkasse Demo", "health_insurer", "sgb_v"),
}


@dataclass(frozen=True)
class World:
    """What is known to everybody who plays: ids, secrets and keys, read from the file."""

    file: Path
    known: dict[str, Any]

    @property
    def person_id(self) -> str:
        return str(self.known["person_id"])

    def secret(self, client_id: str) -> str:
        return str(next(c["secret"] for c in self.known["clients"] if c["client_id"] == client_id))

    def partner_keys(self, partner_id: str) -> dict[str, Any]:
        """The partner's own key pairs: `encryption_key` and `signing_key`, private parts included."""
        keys: dict[str, Any] = json.loads((self.file.parent / "partners" / f"{partner_id}.json").read_text("utf-8"))
        return keys

    def witness_folder(self, partner_id: str) -> Path:
        """Where the partner, as a witness of the log, keeps its key and what it saw."""
        return self.file.parent / "partners" / f"{partner_id}-witness"

    def witness_key(self, partner_id: str) -> str:
        """The verifier key of the partner as a witness."""
        name, signer = identity(self.witness_folder(partner_id))
        return str(VerifierKey(name, signer.public_key().public_bytes_raw(), COSIGNATURE))


def provide_world(state: Path) -> World:
    """The world of this state folder; made when it is not there yet, and then kept."""
    file = state / "demo.json"
    for partner_id in PARTNERS:
        write_once(state / "partners" / f"{partner_id}.json", _partner_keys)
    write_once(file, _world)
    world = World(file, json.loads(file.read_text("utf-8")))
    for partner_id in PARTNERS:
        provide_witness(world.witness_folder(partner_id), f"{partner_id}.example")
    return world


def public_part(jwk: dict[str, Any]) -> dict[str, Any]:
    """The JWK without its private member."""
    return {name: value for name, value in jwk.items() if name != "d"}


def _world() -> str:
    person_id = str(uuid4())
    world = {
        "note": "Demonstration only: invented agencies and persons.",
        "person_id": person_id,
        "clients": [
            _client("betrieb-demo", "operator"),
            _client("fachverfahren-demo", "case_worker", broker_user="fachverfahren-demo"),
            _client("datenschutz-demo", "auditor"),
            *(
                _client(partner_id, "partner_system", partner=partner_id, broker_user=partner_id)
                for partner_id in PARTNERS
            ),
        ],
        "persons": [
            _person("demo-buergerin", "Frau W. (Demo-Bürgerin)", "citizen", person_id=person_id),
            _person("demo-fachkraft", "Fachkraft Adler (Demo)", "case_worker"),
            _person("demo-datenschutz", "Datenschutz Weber (Demo)", "auditor"),
            _person("demo-betrieb", "Betrieb Fuchs (Demo)", "operator"),
        ],
    }
    return json.dumps(world, ensure_ascii=False, indent=1)


def _client(client_id: str, role: str, **more: str) -> dict[str, str]:
    return {"client_id": client_id, "secret": secrets.token_urlsafe(32), "role": role, "agency": AGENCY, **more}


def _person(sub: str, name: str, role: str, **more: str) -> dict[str, str]:
    return {"sub": sub, "name": name, "role": role, "agency": AGENCY, **more}


def _partner_keys() -> str:
    encryption, signing = OKPKey.generate_key("X25519"), OKPKey.generate_key("Ed25519")
    pairs = {"encryption_key": encryption, "signing_key": signing}
    return json.dumps({name: key.as_dict(private=True) for name, key in pairs.items()})
