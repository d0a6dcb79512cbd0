"""Who calls whom: a key pair per service, signed calls, and the list of what each may ask.

A call context is a compact JWS (RFC 7515, Ed25519 as named by RFC 9864) over caller, callee, method, actor, role,
agency, purpose, command and a digest of the payload, good for at most 60 seconds and for one use. It is checked by
the callee on every transport, so that neither the broker nor another service on it can put words into a mouth.
Whoever holds a service's key file can speak as that service and read what is sealed for it: files are 0600 and stay
on the machine of the service; `public.json` is for everybody.
"""

import base64
import json
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from shared.canonical import canonical
from shared.errors import Forbidden, Invalid, NotFound

Json = dict[str, Any]

CALL = "handschlag-call+jws"
ANSWER = "handschlag-answer+jws"
LONGEST = timedelta(seconds=60)
SKEW = timedelta(seconds=5)
SEAL_ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM"]
SPOKEN = frozenset({"actor", "role", "agency", "purpose", "command_id", "trace"})
CLAIMS = SPOKEN | {"iss", "aud", "method", "digest", "jti", "iat", "exp"}
SEAL_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Caller:
    """On whose behalf something is asked. `service` is proven by its signature, the rest is that service's word."""

    service: str
    actor: str = ""
    role: str = ""
    agency: str = ""
    purpose: str = ""
    command_id: str = ""
    trace: str = ""


@dataclass(frozen=True)
class PublicKeys:
    """The two public keys of one service: whose signature counts, and to whom one seals."""

    sign: Ed25519PublicKey
    seal: OKPKey


class Directory:
    """The public keys of all services, by name."""

    def __init__(self, keys: Mapping[str, PublicKeys]) -> None:
        self._keys = dict(keys)

    @classmethod
    def load(cls, keys_dir: Path) -> "Directory":
        return cls({name: _public_keys(entry) for name, entry in _read_json(keys_dir / "public.json").items()})

    def __getitem__(self, service: str) -> PublicKeys:
        try:
            return self._keys[service]
        except KeyError:
            raise Forbidden("call.unknown_caller", "no key is known for the service that is named") from None

    def __contains__(self, service: object) -> bool:
        return service in self._keys

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(sorted(self._keys))


@dataclass(frozen=True)
class ServiceIdentity:
    """The private keys of one service, and the public keys of all."""

    service: str
    directory: Directory
    _sign: Ed25519PrivateKey = field(repr=False)
    _seal: OKPKey = field(repr=False)

    @classmethod
    def load(cls, keys_dir: Path, service: str) -> "ServiceIdentity":
        """Raises `NotFound` when the service has no key file, `Invalid` when others may read it."""
        path = keys_dir / f"{service}.json"
        entry = _read_json(path)
        if path.stat().st_mode & 0o077:
            raise Invalid("identity.open_key_file", f"the key file of {service} can be read by others", "chmod 600")
        signing = Ed25519PrivateKey.from_private_bytes(_decode(entry["sign"]["d"]))
        return cls(service, Directory.load(keys_dir), signing, OKPKey.import_key(entry["seal"]))

    def sign(self, typ: str, claims: Json) -> str:
        """A compact JWS over `claims`."""
        head = _encode(canonical({"alg": "Ed25519", "kid": self.service, "typ": typ}))
        signed = f"{head}.{_encode(canonical(claims))}"
        return f"{signed}.{_encode(self._sign.sign(signed.encode()))}"

    def seal(self, recipient: str, content: bytes) -> str:
        """A compact JWE that only `recipient` can open."""
        header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": recipient}
        return jwe.encrypt_compact(header, content, self.directory[recipient].seal, registry=_registry())

    def unseal(self, sealed: str) -> bytes:
        """What was sealed for this service. Raises `Forbidden` when it was meant for somebody else or changed."""
        try:
            content = jwe.decrypt_compact(sealed, self._seal, registry=_registry()).plaintext
        except (JoseError, ValueError, TypeError):
            content = None
        if content is None:
            raise Forbidden("call.seal_broken", "the sealed part cannot be opened with this service's key")
        return content


class CallRules:
    """Which service may ask which method of which other. What is not listed is forbidden."""

    def __init__(self, allowed: Iterable[tuple[str, str, str]]) -> None:
        self._allowed = frozenset(allowed)

    @classmethod
    def load(cls, path: Path) -> "CallRules":
        """From `contracts/calls.yaml`: caller → callee → list of methods, each by its name."""
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            return cls(
                (caller, callee, _method(method))
                for caller, callees in (content or {}).items()
                for callee, methods in callees.items()
                for method in methods
            )
        except (AttributeError, TypeError):
            raise Invalid("calls.invalid", "expected caller, callee and a list of methods") from None

    def allow(self, caller: str, callee: str, method: str) -> bool:
        return (caller, callee, method) in self._allowed

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return iter(sorted(self._allowed))


class SeenCalls:
    """The ids of calls already accepted, each kept until it expires: one use per process of the callee."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def accept(self, callee: str, call_id: str, until: int, now: int) -> bool:
        """Whether the call comes for the first time."""
        with self._lock:
            if len(self._until) > 10_000:
                self._until = {key: end for key, end in self._until.items() if end >= now}
            if (callee, call_id) in self._until:
                return False
            self._until[(callee, call_id)] = until
            return True


_SEEN = SeenCalls()


def create_identities(keys_dir: Path, services: Iterable[str]) -> None:
    """Make a key file for each service that has none, and enter it in `public.json`. Existing keys stay."""
    keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    public_path = keys_dir / "public.json"
    public = _read_json(public_path) if public_path.exists() else {}
    for service in services:
        path = keys_dir / f"{service}.json"
        if not path.exists():
            _write_private(path, _new_keys(service))
        entry = _read_json(path)
        public[service] = {use: _public_part(entry[use]) for use in ("sign", "seal")}
    replacement = keys_dir / f".public-{uuid.uuid4().hex}"
    replacement.write_text(json.dumps(public, indent=1, sort_keys=True), encoding="utf-8")
    replacement.replace(public_path)


def payload_digest(payload: object) -> str:
    """The SHA-256 of the canonical form, in base64url."""
    return _encode(sha256(canonical(payload)).digest())


def sign_call(  # noqa: PLR0917 - the order is the sentence: who asks whom what
    identity: ServiceIdentity,
    callee: str,
    method: str,
    caller: Caller,
    payload_digest: str,
    now: datetime,
    *,
    lifetime: timedelta = timedelta(seconds=15),
) -> str:
    """The proof that `identity` asks `method` of `callee` with exactly this payload. Lives 60 seconds at most."""
    issued = int(now.timestamp())
    claims = {
        **{key: text for key, text in asdict(caller).items() if key != "service"},
        "iss": identity.service,
        "aud": callee,
        "method": method,
        "digest": payload_digest,
        "jti": uuid.uuid4().hex,
        "iat": issued,
        "exp": issued + int(min(lifetime, LONGEST).total_seconds()),
    }
    return identity.sign(CALL, claims)


def check_call(  # noqa: PLR0917 - as sign_call, seen from the other side
    token: str,
    callee: str,
    method: str,
    payload_digest: str,
    rules: CallRules,
    directory: Directory,
    now: datetime,
    *,
    seen: SeenCalls = _SEEN,
) -> Caller:
    """Who calls. Raises `Forbidden` with a code of its own for every way in which the call does not hold."""
    claims = read_signed(token, CALL, directory)
    if not claims.keys() >= CLAIMS or not all(isinstance(claims[name], int) for name in ("iat", "exp")):
        raise Forbidden("call.malformed", "the call context lacks a claim")
    service, issued, until = str(claims["iss"]), claims["iat"], claims["exp"]
    moment, skew = int(now.timestamp()), int(SKEW.total_seconds())
    if not issued - skew <= moment <= until or until - issued > LONGEST.total_seconds():
        raise Forbidden("call.expired", "the call was signed too long ago or for too long", "ask again")
    if claims["aud"] != callee or claims["method"] != method:
        raise Forbidden("call.misdirected", "the call was signed for another service or method")
    if claims["digest"] != payload_digest:
        raise Forbidden("call.changed", "the payload is not the one that was signed")
    if not rules.allow(service, callee, method):
        raise Forbidden("call.not_granted", f"{service} may not ask {callee}.{method}", "see contracts/calls.yaml")
    if not seen.accept(callee, str(claims["jti"]), until, moment):
        raise Forbidden("call.replayed", "this call was already made", "sign a new one")
    return Caller(service=service, **{name: str(claims[name]) for name in SPOKEN})


def call_id(token: str) -> str:
    """The id of a call, unchecked: for joining an answer to the call one has signed or checked oneself."""
    return str(_part(token, 1).get("jti", ""))


def claimed_caller(token: str) -> str:
    """The service a call says it comes from, unchecked: only good for telling somebody that they were refused."""
    return str(_part(token, 1).get("iss", ""))


def sign_answer(identity: ServiceIdentity, caller: str, call: str, digest: str) -> str:
    """The callee's word for its answer to the call with the id `call`."""
    return identity.sign(ANSWER, {"iss": identity.service, "aud": caller, "call": call, "digest": digest})


def check_answer(proof: str, callee: str, caller: str, call: str, *, digest: str, directory: Directory) -> None:
    """Raises `Forbidden` unless `callee` signed exactly this answer to exactly this call."""
    claims = read_signed(proof, ANSWER, directory)
    if claims != {"iss": callee, "aud": caller, "call": call, "digest": digest}:
        raise Forbidden("call.answer_changed", "the answer is not the one that the service signed")


def read_signed(token: str, typ: str, directory: Directory) -> Json:
    """The claims of a JWS signed by the service named in them. Raises `Forbidden` otherwise."""
    header, claims = _part(token, 0), _part(token, 1)
    if header.get("alg") != "Ed25519" or header.get("typ") != typ:
        raise Forbidden("call.malformed", "the call context has another form")
    key = directory[str(claims.get("iss"))].sign
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(_decode(signature), signed.encode())
    except (InvalidSignature, ValueError):
        raise Forbidden("call.bad_signature", "the service that is named did not sign this") from None
    return claims


def _part(token: str, index: int) -> Json:
    parts = token.split(".") if isinstance(token, str) else []
    try:
        part = json.loads(_decode(parts[index])) if len(parts) == 3 else None
    except (ValueError, UnicodeDecodeError):
        part = None
    if not isinstance(part, dict):
        raise Forbidden("call.malformed", "the call context is not a compact JWS")
    return part


def _method(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise Invalid("calls.invalid", "a method is written by its name; there are no wildcards")
    return name


def _registry() -> jwe.JWERegistry:
    registry = jwe.JWERegistry(algorithms=SEAL_ALGORITHMS)
    registry.max_ciphertext_length = SEAL_LIMIT
    return registry


def _new_keys(service: str) -> Json:
    signing, sealing = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    return {
        "service": service,
        "sign": _jwk("Ed25519", signing.private_bytes_raw(), signing.public_key().public_bytes_raw()),
        "seal": _jwk("X25519", sealing.private_bytes_raw(), sealing.public_key().public_bytes_raw()),
    }


def _jwk(curve: str, private: bytes, public: bytes) -> Json:
    return {"kty": "OKP", "crv": curve, "x": _encode(public), "d": _encode(private)}


def _public_part(key: Json) -> Json:
    return {name: text for name, text in key.items() if name != "d"}


def _public_keys(entry: Json) -> PublicKeys:
    return PublicKeys(Ed25519PublicKey.from_public_bytes(_decode(entry["sign"]["x"])), OKPKey.import_key(entry["seal"]))


def _write_private(path: Path, content: Json) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)


def _read_json(path: Path) -> Json:
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound("identity.no_keys", f"there is no key file {path.name}", "run `handschlag migrate`") from None
    return content


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
