"""Whose cosignatures a checkpoint needs before somebody relies on it (c2sp.org/tlog-policy).

    witness dpo       data-protection.example+1b2c3d4e+BAAA…  https://witness.data-protection.example
    witness authority supervision.example+5f6a7b8c+BAAA…      https://supervision.example/witness
    witness pension   pension.example+9d0e1f2a+BAAA…
    group two-of-three 2 dpo authority pension
    quorum two-of-three

The address is where the log asks; a witness without one, such as a partner, cosigns what it is sent. Logs may be
listed, too; ours usually are not, since the logs of one installation share a key and a policy lists each key once.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.merkle import NotProven
from shared.notes import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    Malformed,
    Signature,
    VerifierKey,
    open_checkpoint,
    open_note,
)

NO_QUORUM = "none"
MOST_LINES = 1000

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class KnownWitness:
    """`name` is used within the policy only; `url` is the submission prefix of c2sp.org/tlog-witness."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True)
class Group:
    """Counts as a witness when `threshold` of its members do; members are witnesses and groups, by name."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Witnessed:
    """A checkpoint with the cosignatures that met the policy."""

    checkpoint: Checkpoint
    cosignatures: tuple[Signature, ...]


@dataclass(frozen=True)
class Policy:
    """Witnesses, groups of them, and which of these decides: `quorum`, the name of a witness or a group, or none."""

    logs: tuple[VerifierKey, ...] = ()
    witnesses: Mapping[str, KnownWitness] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NO_QUORUM

    @staticmethod
    def parse(text: str | bytes) -> "Policy":
        """Raises `Malformed`, naming the line, for anything that the format does not know."""
        data = text.encode() if isinstance(text, str) else text
        if _FORBIDDEN.search(data):
            raise Malformed("policy.character", "a policy has no control characters but tab and newline")
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        if len(lines) > MOST_LINES:
            raise Malformed("policy.too_long", f"a policy has at most {MOST_LINES} lines")
        policy, quorums = Policy(), 0
        for number, line in enumerate(lines, start=1):
            words = re.findall(r"[^ \t]+", line)
            if not words or words[0].startswith("#"):
                continue
            try:
                policy = _READERS.get(words[0], _unknown)(policy, words[1:])
            except Malformed as error:
                raise Malformed(error.code, f"line {number}: {error.detail}") from None
            quorums += words[0] == "quorum"
        if quorums != 1:
            raise Malformed("policy.quorum", "a policy has exactly one line with the quorum")
        return policy

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Those of the witnesses."""
        return tuple(each.key for each in self.witnesses.values())

    @property
    def fewest(self) -> int:
        """With fewer cosignatures than these it is never met."""
        return 0 if self.quorum == NO_QUORUM else self._fewest(self.quorum)

    def met_by(self, names: Collection[str]) -> bool:
        """Whether cosignatures of the witnesses with these names are enough."""
        return self.quorum == NO_QUORUM or self._counts(self.quorum, frozenset(names))

    def met_by_keys(self, keys: Collection[VerifierKey]) -> bool:
        """The same, of the witnesses with these keys; keys that the policy does not know count nothing."""
        return self.met_by([each.name for each in self.witnesses.values() if each.key in keys])

    def check(self, note: str | bytes, log_keys: Iterable[VerifierKey] = ()) -> Witnessed:
        """Raises `NotProven` unless the log signed the checkpoint and enough witnesses cosigned it."""
        logs = [*log_keys, *self.logs]
        checkpoint = open_checkpoint(note, [*logs, *self.keys])
        opened = open_note(note, [*logs, *self.keys])
        cosignatures = tuple(each for each in opened.signatures if each.key in self.keys)
        if not self.met_by_keys([each.key for each in cosignatures]):
            known = len(self.witnesses)
            raise NotProven("log.quorum", f"{len(cosignatures)} of {known} witnesses cosigned this: not enough")
        return Witnessed(checkpoint, cosignatures)

    def _fewest(self, name: str) -> int:
        group = self.groups.get(name)
        return 1 if group is None else sum(sorted(map(self._fewest, group.members))[: group.threshold])

    def _counts(self, name: str, cosigned: frozenset[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._counts(each, cosigned) for each in group.members) >= group.threshold


def _log(policy: Policy, words: list[str]) -> Policy:
    if len(words) not in (1, 2):
        raise Malformed("policy.log", "a log has a verifier key and may have an address")
    key = _key(words[0], ED25519, policy.logs)
    return replace(policy, logs=(*policy.logs, key))


def _witness(policy: Policy, words: list[str]) -> Policy:
    if len(words) not in (2, 3):
        raise Malformed("policy.witness", "a witness has a name and a verifier key and may have an address")
    name = _fresh(policy, words[0])
    key = _key(words[1], COSIGNATURE, policy.keys)
    known = KnownWitness(name, key, words[2] if words[2:] else None)
    return replace(policy, witnesses={**policy.witnesses, name: known})


def _group(policy: Policy, words: list[str]) -> Policy:
    if len(words) < 3:
        raise Malformed("policy.group", "a group has a name, how many of its members count, and members")
    name, count, *members = words
    for member in members:
        _defined(policy, member)
    taken = {each for group in policy.groups.values() for each in group.members}
    if len(set(members)) != len(members) or taken & set(members):
        raise Malformed("policy.group", "each name is a member of one group, once")
    wanted = {"all": len(members), "any": 1}.get(count)
    if wanted is None:
        wanted = int(count) if _THRESHOLD.fullmatch(count) else 0
    if not 1 <= wanted <= len(members):
        raise Malformed("policy.group", "how many: all, any, or a number from 1 to that of the members")
    group = Group(_fresh(policy, name), wanted, tuple(members))
    return replace(policy, groups={**policy.groups, name: group})


def _quorum(policy: Policy, words: list[str]) -> Policy:
    if len(words) != 1:
        raise Malformed("policy.quorum", "the quorum is one name")
    if words[0] != NO_QUORUM:
        _defined(policy, words[0])
    return replace(policy, quorum=words[0])


def _unknown(policy: Policy, words: list[str]) -> Policy:
    raise Malformed("policy.line", "a line begins with log, witness, group or quorum")


def _key(text: str, kind: int, known: Iterable[VerifierKey]) -> VerifierKey:
    key = VerifierKey.parse(text)
    if key.kind != kind:
        raise Malformed("policy.key", "logs sign with keys of type 1, witnesses with keys of type 4")
    if any(each.public_key == key.public_key for each in known):
        raise Malformed("policy.key", "each key stands once, whatever its names")
    return key


def _fresh(policy: Policy, name: str) -> str:
    if name == NO_QUORUM or name in policy.witnesses or name in policy.groups:
        raise Malformed("policy.name", "this name is taken")
    return name


def _defined(policy: Policy, name: str) -> None:
    if name not in policy.witnesses and name not in policy.groups:
        raise Malformed("policy.name", "a name is defined before it is used")


_READERS: Mapping[str, Callable[[Policy, list[str]], Policy]] = {
    "log": _log,
    "witness": _witness,
    "group": _group,
    "quorum": _quorum,
}
