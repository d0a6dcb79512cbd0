"""`handschlag log verify`: the auditor's tool. Offline, without an account and without a database.

Exit codes: 0 proven, 1 not proven, 2 the input is unusable. Every answer also says what was *not* checked.
"""

import base64
import binascii
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from shared.audit import Leaf, verify_opening, verify_receipt
from shared.clock import timestamp
from shared.merkle import Frontier, NotProven, leaf_hash, verify_consistency
from shared.notes import Checkpoint, Malformed, VerifierKey, open_checkpoint

PROVEN, NOT_PROVEN, UNUSABLE = 0, 1, 2
DUMP_FORMAT = "handschlag-log-dump@v1"
AT_ONCE = 4096

_WORDS = {
    "proven": ("Bewiesen", "Proven"),
    "not_proven": ("Nicht bewiesen", "Not proven"),
    "unusable": ("Unbrauchbare Eingabe", "Unusable input"),
    "not_checked": ("Nicht geprüft", "Not checked"),
    "receipt": (
        "Eintrag {index} steht im Protokoll {log}, in einem signierten Baum von {size} Einträgen.",
        "Entry {index} stands in the log {log}, in a signed tree of {size} entries.",
    ),
    "entry": (
        "Eintrag ({kind}) vom {time}: {sender} an {recipient}, Zweck: {purpose}, Daten: {categories}.",
        "Entry ({kind}) of {time}: {sender} to {recipient}, purpose: {purpose}, data: {categories}.",
    ),
    "consistency": (
        "Das Protokoll {log} mit {new} Einträgen beginnt mit genau den {old} Einträgen von früher.",
        "The log {log} with {new} entries begins with exactly the {old} entries of before.",
    ),
    "opening": (
        "Der Eintrag hat sich unter „{field}“ auf genau diesen Wert festgelegt.",
        "The entry committed to exactly this value as “{field}”.",
    ),
    "dump": (
        "Das Protokoll {log} hat {size} Einträge ohne Lücke; {heads} signierte Logstände passen dazu.",
        "The log {log} has {size} entries without a gap; {heads} signed tree heads agree.",
    ),
    "known_heads": (
        "{known} früher aufbewahrte Logstände gehören zu diesem Protokoll.",
        "{known} tree heads that were kept before belong to this log.",
    ),
    "other_views": (
        "ob das Protokoll anderen einen anderen Stand zeigt (Logstände vergleichen: log verify consistency)",
        "whether the log shows others another state (compare tree heads: log verify consistency)",
    ),
    "key_origin": (
        "ob der Prüfschlüssel wirklich der des Protokolls ist (er muss auf anderem Weg bekannt sein)",
        "whether the verifier key is really that of the log (it must be known by another way)",
    ),
    "content": (
        "was in der Übermittlung stand (dazu: log verify opening)",
        "what the disclosure contained (see: log verify opening)",
    ),
    "truth": (
        "ob stimmt, was der Eintrag sagt; bewiesen ist nur, dass er so gemacht wurde",
        "whether what the entry says is true; only that it was made like this",
    ),
    "older_entries": (
        "was in den Einträgen steht",
        "what the entries say",
    ),
    "in_log": (
        "ob der Eintrag im Protokoll steht (dazu: log verify receipt)",
        "whether the entry stands in the log (see: log verify receipt)",
    ),
    "deleted": (
        "der Inhalt von {deleted} Einträgen, deren Bytes gelöscht sind (Platz und Zahl stimmen)",
        "the content of {deleted} entries whose bytes were deleted (place and count agree)",
    ),
    "no_head": (
        "ob das Ende abgeschnitten wurde (dazu einen aufbewahrten Logstand mit --head angeben)",
        "whether the end was cut off (give a tree head that was kept, with --head)",
    ),
    "chain": (
        "ob das Protokoll an das des Vorjahres anschließt",
        "whether the log continues that of the year before",
    ),
    "signatures_of_others": (
        "Mitzeichnungen von Zeugen",
        "cosignatures of witnesses",
    ),
}

_REASONS = {
    "log.signature": "Eine Signatur des Protokolls passt nicht zum Text.",
    "log.no_known_signature": "Kein bekannter Schlüssel hat diesen Logstand signiert.",
    "log.foreign_signature": "Das genannte Protokoll hat diesen Logstand nicht selbst signiert.",
    "log.inclusion": "Der Pfad führt vom Eintrag nicht zum signierten Logstand.",
    "log.no_such_leaf": "Der Baum hat keinen Eintrag an dieser Stelle.",
    "log.consistency": "Der neuere Logstand setzt den älteren nicht fort.",
    "log.hash_length": "Ein Hash hat nicht die richtige Länge.",
    "log.opening": "Auf diesen Wert hat sich der Eintrag nicht festgelegt.",
    "log.entry_missing": "Ein Eintrag fehlt oder steht an anderer Stelle.",
    "log.entry_changed": "Ein Eintrag ist nicht mehr der, der aufgenommen wurde.",
    "log.root_differs": "Ein signierter Logstand passt nicht zu den Einträgen.",
    "log.dump_cut": "Die Einträge enden nicht dort, wo der letzte signierte Logstand endet.",
    "log.dump_head": "Ein aufbewahrter Logstand gehört nicht zu diesem Protokoll.",
}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Report:
    """What a check showed. Words are named, so that people and machines get the same."""

    shown: list[str]
    not_checked: list[str]
    values: dict[str, Any] = field(default_factory=dict)


@click.group()
def log() -> None:
    """Das Protokoll prüfen."""


@log.group()
def verify() -> None:
    """Offline prüfen, ohne Konto und ohne Datenbank.

    Ergebnis: 0 bewiesen, 1 nicht bewiesen, 2 unbrauchbare Eingabe.
    """


def _file(name: str) -> Callable[[F], F]:
    return click.argument(name, type=click.Path(exists=True, dir_okay=False, path_type=Path))


def _keys(function: F) -> F:
    option = click.option(
        "--key",
        "keys",
        multiple=True,
        required=True,
        help="Prüfschlüssel des Protokolls: der Text oder eine Datei.",
    )
    return option(function)


def _output(function: F) -> F:
    function = click.option("--json", "as_json", is_flag=True, help="Ein JSON-Objekt auf der Standardausgabe.")(
        function
    )
    return click.option("--lang", type=click.Choice(["de", "en"]), default="de", help="Sprache der Ausgabe.")(function)


@verify.command()
@_file("receipt")
@_file("leaf")
@_keys
@_output
def receipt(receipt: Path, leaf: Path, keys: tuple[str, ...], *, as_json: bool, lang: str) -> None:
    """Steht der Eintrag LEAF laut Beleg RECEIPT im signierten Protokoll?"""
    _answer(lambda: _receipt(receipt, leaf, keys), as_json=as_json, lang=lang)


@verify.command()
@_file("old")
@_file("new")
@_file("proof")
@_keys
@_output
def consistency(old: Path, new: Path, proof: Path, keys: tuple[str, ...], *, as_json: bool, lang: str) -> None:
    """Setzt der Logstand NEW den Logstand OLD fort? PROOF enthält die Hashes des Pfads, einen je Zeile."""
    _answer(lambda: _consistency(old, new, proof, keys), as_json=as_json, lang=lang)


@verify.command()
@_file("leaf")
@click.argument("field_name", metavar="FIELD")
@_file("opening")
@_output
def opening(leaf: Path, field_name: str, opening: Path, *, as_json: bool, lang: str) -> None:
    """Hat sich der Eintrag LEAF unter FIELD auf den Wert in OPENING festgelegt?

    OPENING ist ein JSON-Objekt: {"key": Schlüssel in Hex, "value": Wert}.
    """
    _answer(lambda: _opening(leaf, field_name, opening), as_json=as_json, lang=lang)


@verify.command()
@_file("dump")
@_keys
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Aufbewahrter Logstand; mehrfach möglich.",
)
@_output
def dump(dump: Path, keys: tuple[str, ...], heads: tuple[Path, ...], *, as_json: bool, lang: str) -> None:
    """Stimmt ein ganzes Protokoll in sich, und mit den Logständen, die jemand aufbewahrt hat (--head)?"""
    _answer(lambda: _dump(dump, keys, heads), as_json=as_json, lang=lang)


def _receipt(receipt: Path, leaf: Path, keys: Iterable[str]) -> Report:
    verified = verify_receipt(_text(receipt), leaf.read_bytes(), [str(key) for key in _known(keys)])
    values = {
        "log": verified.origin,
        "index": verified.index,
        "size": verified.checkpoint.size,
        "leaf_hash": verified.leaf_hash.hex(),
        **_said(verified.leaf),
    }
    unchecked = ["key_origin", "other_views", "content", "truth", "signatures_of_others"]
    return Report(["receipt", "entry"], unchecked, values)


def _consistency(old: Path, new: Path, proof: Path, keys: Iterable[str]) -> Report:
    known = _known(keys)
    before, after = (open_checkpoint(each.read_bytes(), known) for each in (old, new))
    if before.origin != after.origin:
        raise NotProven("log.consistency", "the tree heads are those of two logs")
    path = [_hash(line) for line in _text(proof).split()]
    verify_consistency(before.size, after.size, path, before.root, after.root)
    values = {"log": after.origin, "old": before.size, "new": after.size}
    return Report(["consistency"], ["key_origin", "older_entries", "signatures_of_others"], values)


def _opening(leaf: Path, field_name: str, opening: Path) -> Report:
    entry = Leaf.parse(leaf.read_bytes())
    document = _json(_text(opening))
    try:
        key, value = bytes.fromhex(document["key"]), document["value"]
    except (KeyError, ValueError, TypeError):
        raise Malformed("log.opening", "an opening has a key in hex and a value") from None
    verify_opening(entry, field_name, key, value)
    return Report(["opening", "entry"], ["in_log", "truth"], {"field": field_name, **_said(entry)})


def _dump(dump: Path, keys: Iterable[str], heads: Iterable[Path]) -> Report:
    known = _known(keys)
    kept = [open_checkpoint(each.read_bytes(), known) for each in heads]
    with dump.open("rb") as lines:
        check = _DumpCheck(_lines(lines), known, kept)
        check.run()
    unchecked = ["key_origin", "chain", "truth", "signatures_of_others"]
    unchecked += ["other_views"] if kept else ["no_head", "other_views"]
    unchecked += ["deleted"] if check.deleted else []
    values = {
        "log": check.log,
        "size": check.frontier.size,
        "heads": check.heads,
        "known": len(kept),
        "deleted": check.deleted,
    }
    return Report(["dump", *(["known_heads"] if kept else [])], unchecked, values)


class _DumpCheck:
    """Reads a dump once, from front to end, and keeps the right edge of the tree only."""

    def __init__(self, lines: Iterator[dict[str, Any]], keys: list[VerifierKey], kept: list[Checkpoint]) -> None:
        self._lines = lines
        self._keys = keys
        self._kept = kept
        self._roots: dict[int, bytes] = {}
        self._waiting: list[bytes] = []
        self.frontier = Frontier()
        self.deleted = 0
        self.heads = 0
        self.log = ""

    def run(self) -> None:
        first = next(self._lines, {})
        if first.get("format") != DUMP_FORMAT or not isinstance(first.get("log"), str):
            raise Malformed("log.dump", f"a dump begins with its format, {DUMP_FORMAT}")
        self.log = first["log"]
        wanted = {head.size for head in self._kept}
        signed = 0
        for line in self._lines:
            if "checkpoint" in line:
                signed = self._signed(line["checkpoint"])
            else:
                self._entry(line)
            if self._size in wanted:
                self._grow()
                self._roots[self._size] = self.frontier.root()
        self._grow()
        if not self.heads or signed != self.frontier.size or first.get("size") != signed:
            raise NotProven("log.dump_cut", "the entries do not end where the last signed head says")
        for head in self._kept:
            if head.origin != self.log or self._roots.get(head.size) != head.root:
                raise NotProven("log.dump_head", f"the kept head of size {head.size} is not one of this log")

    @property
    def _size(self) -> int:
        return self.frontier.size + len(self._waiting)

    def _entry(self, line: Mapping[str, Any]) -> None:
        if line.get("index") != self._size:
            raise NotProven("log.entry_missing", f"entry {self._size} is not there")
        try:
            hashed = bytes.fromhex(line["hash"])
            leaf = line["leaf"].encode() if "leaf" in line else None
        except (KeyError, ValueError, TypeError, AttributeError):
            raise Malformed("log.dump", f"line of entry {self._size} is not one of a dump") from None
        if leaf is None:
            self.deleted += 1
        elif leaf_hash(leaf) != hashed:
            raise NotProven("log.entry_changed", f"entry {self._size} is not the one that was hashed")
        self._waiting.append(hashed)
        if len(self._waiting) >= AT_ONCE:
            self._grow()

    def _signed(self, note: Any) -> int:
        if not isinstance(note, str):
            raise Malformed("log.dump", "a checkpoint is a note")
        self._grow()
        head = open_checkpoint(note, self._keys)
        if head.origin != self.log or head.size != self.frontier.size or head.root != self.frontier.root():
            raise NotProven("log.root_differs", f"the signed head of size {head.size} is not that of these entries")
        self.heads += 1
        return head.size

    def _grow(self) -> None:
        if self._waiting:
            self.frontier, _ = self.frontier.extended(self._waiting)
            self._waiting = []


def _answer(check: Callable[[], Report], *, as_json: bool, lang: str) -> None:
    report, code, error = Report([], []), PROVEN, None
    try:
        report = check()
    except (NotProven, Malformed) as reason:
        code, error = (NOT_PROVEN if isinstance(reason, NotProven) else UNUSABLE), reason
    say = _json_answer if as_json else _plain_answer
    click.echo(say(report, code, error, lang))
    sys.exit(code)


def _json_answer(report: Report, code: int, error: NotProven | Malformed | None, lang: str) -> str:
    document = {
        "result": ("proven", "not_proven", "unusable")[code],
        "shown": {name: _say(name, lang, report.values) for name in report.shown},
        "not_checked": {name: _say(name, lang, report.values) for name in report.not_checked},
        "values": report.values,
        **({"reason": error.code, "detail": _reason(error, lang)} if error else {}),
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _plain_answer(report: Report, code: int, error: NotProven | Malformed | None, lang: str) -> str:
    result = _say(("proven", "not_proven", "unusable")[code], lang, {})
    if error:
        return f"{result}: {_reason(error, lang)} [{error.code}]"
    shown = [f"  {_say(name, lang, report.values)}" for name in report.shown]
    rest = [f"  - {_say(name, lang, report.values)}" for name in report.not_checked]
    return "\n".join([f"{result}:", *shown, f"{_say('not_checked', lang, {})}:", *rest])


def _reason(error: NotProven | Malformed, lang: str) -> str:
    return error.detail if lang == "en" else _REASONS.get(error.code, error.detail)


def _say(name: str, lang: str, values: Mapping[str, Any]) -> str:
    return _WORDS[name][lang == "en"].format(**values)


def _said(leaf: Leaf) -> dict[str, str]:
    return {
        "kind": leaf.kind,
        "time": timestamp(leaf.time) if leaf.time else "",
        "sender": leaf.sender or "–",
        "recipient": leaf.recipient or "–",
        "purpose": leaf.purpose or "–",
        "categories": ", ".join(leaf.categories) or "–",
    }


def _known(keys: Iterable[str]) -> list[VerifierKey]:
    """Each key is its own text, or the name of a file that holds it."""
    return [VerifierKey.parse(_text(Path(key)).strip() if Path(key).is_file() else key) for key in keys]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise Malformed("log.text", f"{path.name} is not text") from None


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("log.json", "this is not JSON") from None
    if not isinstance(document, dict):
        raise Malformed("log.json", "this is not a JSON object")
    return document


def _lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise Malformed("log.json", "a line of the dump is not JSON") from None
        if not isinstance(document, dict):
            raise Malformed("log.json", "a line of the dump is not a JSON object")
        yield document


def _hash(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("log.base64", "the path consists of hashes in base64") from None
