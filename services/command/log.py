"""`handschlag log verify`: the auditor's tool. Offline, without an account and without a database.

Exit codes: 0 proven, 1 not proven, 2 the input is unusable. Every answer also says what was *not* checked.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from services.command.bundle_check import check_bundle
from services.command.log_words import Report, answer, reading, said
from shared.audit import Leaf, verify_opening, verify_receipt
from shared.merkle import Frontier, NotProven, leaf_hash, verify_consistency
from shared.notes import Checkpoint, Malformed, Proof, VerifierKey, open_checkpoint
from shared.witness import Policy

DUMP_FORMAT = "handschlag-log-dump@v1"
AT_ONCE = 4096

F = TypeVar("F", bound=Callable[..., Any])


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


def _policy(function: F) -> F:
    option = click.option(
        "--policy",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Wessen Mitzeichnungen nötig sind (c2sp.org/tlog-policy).",
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
@_policy
@_output
def receipt(receipt: Path, leaf: Path, keys: tuple[str, ...], *, policy: Path | None, as_json: bool, lang: str) -> None:
    """Steht der Eintrag LEAF laut Beleg RECEIPT im signierten Protokoll?"""
    answer(lambda: _receipt(receipt, leaf, keys, policy), as_json=as_json, lang=lang)


@verify.command()
@_file("old")
@_file("new")
@_file("proof")
@_keys
@_policy
@_output
def consistency(
    old: Path, new: Path, proof: Path, keys: tuple[str, ...], *, policy: Path | None, as_json: bool, lang: str
) -> None:
    """Setzt der Logstand NEW den Logstand OLD fort? PROOF enthält die Hashes des Pfads, einen je Zeile."""
    answer(lambda: _consistency(old, new, proof, keys, policy), as_json=as_json, lang=lang)


@verify.command()
@_file("leaf")
@click.argument("field_name", metavar="FIELD")
@_file("opening")
@_output
def opening(leaf: Path, field_name: str, opening: Path, *, as_json: bool, lang: str) -> None:
    """Hat sich der Eintrag LEAF unter FIELD auf den Wert in OPENING festgelegt?

    OPENING ist ein JSON-Objekt: {"key": Schlüssel in Hex, "value": Wert}.
    """
    answer(lambda: _opening(leaf, field_name, opening), as_json=as_json, lang=lang)


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
@_policy
@_output
def dump(
    dump: Path, keys: tuple[str, ...], heads: tuple[Path, ...], *, policy: Path | None, as_json: bool, lang: str
) -> None:
    """Stimmt ein ganzes Protokoll in sich, und mit den Logständen, die jemand aufbewahrt hat (--head)?"""
    answer(lambda: _dump(dump, keys, heads, policy), as_json=as_json, lang=lang)


@verify.command()
@_file("bundle")
@_keys
@_policy
@_output
def bundle(bundle: Path, keys: tuple[str, ...], *, policy: Path | None, as_json: bool, lang: str) -> None:
    """Steht im Protokoll, was der Auszug BUNDLE sagt, und ist er vollständig? (handschlag export)"""
    answer(lambda: _bundle(bundle, keys, policy), as_json=as_json, lang=lang)


def _bundle(bundle: Path, keys: Iterable[str], policy: Path | None) -> Report:
    rule = None if policy is None else Policy.parse(policy.read_bytes())
    with bundle.open("rb") as file, reading(file, bundle.stat().st_size) as lines:
        return check_bundle(lines, _known(keys), rule)


def _receipt(receipt: Path, leaf: Path, keys: Iterable[str], policy: Path | None) -> Report:
    known = _known(keys)
    verified = verify_receipt(_text(receipt), leaf.read_bytes(), [str(key) for key in known])
    values = {
        "log": verified.origin,
        "index": verified.index,
        "size": verified.checkpoint.size,
        "leaf_hash": verified.leaf_hash.hex(),
        **said(verified.leaf),
    }
    report = Report(["receipt", "entry"], ["key_origin", "other_views", "content", "truth"], values)
    return _with_witnesses(report, Proof.parse(verified.receipt_text).checkpoint, known, policy)


def _with_witnesses(report: Report, note: str | bytes, keys: Iterable[VerifierKey], policy: Path | None) -> Report:
    """What the cosignatures below the newest checkpoint show, or that nobody looked at them. A quorum of witnesses
    who never cosign two histories is what shows that others see the same.
    """
    if policy is None:
        return Report(report.shown, [*report.not_checked, "signatures_of_others"], report.values)
    rule = Policy.parse(policy.read_bytes())
    found = rule.check(note, keys).cosignatures
    names = [f"{each.name} ({datetime.fromtimestamp(each.time or 0, UTC):%Y-%m-%d %H:%M:%S} UTC)" for each in found]
    asked = not rule.met_by(())
    unchecked = [each for each in report.not_checked if each != "other_views" or not asked]
    return Report(
        [*report.shown, "witnessed" if asked else "nobody_needed"],
        [*unchecked, *(["witnesses_independent"] if asked else [])],
        {**report.values, "witnesses": ", ".join(names)},
    )


def _consistency(old: Path, new: Path, proof: Path, keys: Iterable[str], policy: Path | None) -> Report:
    known = _known(keys)
    before, after = (open_checkpoint(each.read_bytes(), known) for each in (old, new))
    if before.origin != after.origin:
        raise NotProven("log.consistency", "the tree heads are those of two logs")
    path = [_hash(line) for line in _text(proof).split()]
    verify_consistency(before.size, after.size, path, before.root, after.root)
    values = {"log": after.origin, "old": before.size, "new": after.size}
    return _with_witnesses(
        Report(["consistency"], ["key_origin", "older_entries"], values), new.read_bytes(), known, policy
    )


def _opening(leaf: Path, field_name: str, opening: Path) -> Report:
    entry = Leaf.parse(leaf.read_bytes())
    document = _json(_text(opening))
    try:
        key, value = bytes.fromhex(document["key"]), document["value"]
    except (KeyError, ValueError, TypeError):
        raise Malformed("log.opening", "an opening has a key in hex and a value") from None
    verify_opening(entry, field_name, key, value)
    return Report(["opening", "entry"], ["in_log", "truth"], {"field": field_name, **said(entry)})


def _dump(dump: Path, keys: Iterable[str], heads: Iterable[Path], policy: Path | None) -> Report:
    known = _known(keys)
    kept = [open_checkpoint(each.read_bytes(), known) for each in heads]
    with dump.open("rb") as lines:
        check = _DumpCheck(_lines(lines), known, kept)
        check.run()
    unchecked = ["key_origin", "chain", "truth"]
    unchecked += ["other_views"] if kept else ["no_head", "other_views"]
    unchecked += ["deleted"] if check.deleted else []
    values = {
        "log": check.log,
        "size": check.frontier.size,
        "heads": check.heads,
        "known": len(kept),
        "deleted": check.deleted,
    }
    report = Report(["dump", *(["known_heads"] if kept else [])], unchecked, values)
    return _with_witnesses(report, check.newest, known, policy)


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
        self.newest = ""

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
        self.newest = note
        return head.size

    def _grow(self) -> None:
        if self._waiting:
            self.frontier, _ = self.frontier.extended(self._waiting)
            self._waiting = []


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
