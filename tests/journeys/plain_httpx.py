"""A partner's program over HTTP: httpx, a JOSE library, `contracts/verify_receipt.py`, and the partner's own keys."""

import hmac
import json
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from joserfc import jwe, jws
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from contracts.verify_receipt import verify_receipt

OURS = {"suite": "str", "sender": "str", "recipient": "str", "purpose": "str", "categories": "list[str]"}
OURS |= {"log": "str", "index": "int", "leaf_hash": "str", "reference": "str"}
REGISTRY = jwe.JWERegistry(
    {name: HeaderParameter(name, kind) for name, kind in OURS.items()}, algorithms=["ECDH-ES+A256KW", "A256GCM"]
)


def opened(document: dict[str, Any], log_key: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The content of a delivery, after receipt and commitments were checked."""
    verify_receipt(document["receipt"], document["leaf"].encode(), log_key)
    key = OKPKey.import_key(keys["encryption_key"])
    payload = json.loads(jwe.decrypt_compact(document["envelope"], key, registry=REGISTRY).plaintext or b"")
    promised = json.loads(document["leaf"])["commitments"]
    for category, value in payload["content"].items():
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        made = hmac.digest(bytes.fromhex(payload["openings"][category]), text.encode(), "sha256").hex()
        assert made == promised[f"content.{category}"], "what was sent is not what was logged"
    return dict(payload["content"])


def acknowledgement(document: dict[str, Any], keys: dict[str, Any]) -> str:
    """The signed word that the document arrived."""
    index = int(document["receipt"].split("\n")[1].removeprefix("index "))
    said = {"log": document["receipt"].split("\n\n", 1)[1].split("\n")[0], "index": index, "result": "matched"}
    said |= {"leaf_hash": sha256(b"\0" + document["leaf"].encode()).hexdigest(), "at": datetime.now(UTC).isoformat()}
    header = {"alg": "Ed25519", "typ": "handschlag-acknowledgement+jws"}
    key = OKPKey.import_key(keys["signing_key"])
    return jws.serialize_compact(header, json.dumps(said), key, algorithms=["Ed25519"])


def main(url: str, client_id: str, secret: str, key_file: str) -> None:
    keys = json.loads(Path(key_file).read_text("utf-8"))
    with httpx.Client(base_url=url, timeout=30) as http:
        grant = {"grant_type": "client_credentials"}
        token = http.post("/provider/token", data=grant, auth=(client_id, secret)).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        log_key = http.get("/v1/log/key").json()["key"]
        for item in http.get("/v1/feed", params={"after": 0, "wait": 10}).json()["items"]:
            document = item["document"]
            if document["type"] == "handschlag.delivery.v1":
                sys.stdout.write(json.dumps({"id": document["id"], "content": opened(document, log_key, keys)}) + "\n")
            signed, once = {"signed": acknowledgement(document, keys)}, {"Idempotency-Key": uuid4().hex}
            http.post("/v1/acknowledgements", json=signed, headers=once).raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
