"""Is a bundle what was logged, and does the log say so? See `contracts/formats/bundle.md`. Reads the file once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

import orjson

from services.command.log_words import Report
from shared.audit import Leaf, verify_opening, verify_receipt
from shared.canonical import NotCanonical, canonical
from shared.clock import timestamp
from shared.merkle import Frontier, NotProven, complete_subtrees, fold, leaf_hash, node_hash
from shared.notes import Checkpoint, Malformed, Proof, VerifierKey, claimed_checkpoint, open_checkpoint
from shared.witness import Policy

FORMAT = "handschlag-bundle@v1"
AT_ONCE = 4096

Line = dict[str, Any]
T = TypeVar("T")


def check_bundle(lines: Iterable[bytes], keys: Sequence[VerifierKey], policy: Policy | None = None) -> Report:
    """What the bundle proves by these keys. Raises `NotProven` or `Malformed`."""
    return _Check(_Lines(lines), keys, policy).report()


class _Lines:
    """The lines of a bundle, each in its one spelling, linked by hashes up to the last."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._link = bytes(32)
        self._count = 0
        self._next: Line | None = None

    def peek(self) -> Line:
        if self._next is None:
            self._next = self._read()
        return self._next

    def take(self) -> Line:
        line, self._next = self.peek(), None
        return line

    def starting_with(self, member: str) -> Iterator[Line]:
        while member in self.peek():
            yield self.take()

    def end(self) -> None:
        last, ends = self.take(), self._count - 1
        if set(last) != {"chain", "end"} or next(self._lines, None) is not None:
            raise Malformed("log.bundle", "a bundle has only lines that its format names")
        if (last["end"], last["chain"]) != (ends, self._before.hex()):
            raise NotProven("log.bundle_chain", "the bundle was changed after it was given out")

    def _read(self) -> Line:
        raw = next(self._lines, b"")
        try:
            line = orjson.loads(raw)
            spelled = _spelled(line) + b"\n"
        except (orjson.JSONDecodeError, NotCanonical, RecursionError):
            raise Malformed("log.bundle", f"line {self._count + 1} is missing or no JSON") from None
        if not isinstance(line, dict) or spelled != raw:
            raise Malformed("log.bundle", f"line {self._count + 1} is no object in canonical JSON")
        self._before, self._link = self._link, sha256(self._link + raw).digest()
        self._count += 1
        return line


@dataclass(frozen=True)
class _Proved:
    """An entry that stands in a signed log, with what opens it."""

    log: str
    index: int
    leaf: Leaf
    openings: Mapping[str, Any]


@dataclass
class _Check:
    lines: _Lines
    keys: Sequence[VerifierKey]
    policy: Policy | None
    rule_sets: set[str] = field(default_factory=set)
    notes: dict[str, bool] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def report(self) -> Report:
        query, reading = self._head()
        agency = reading.log.rsplit("/", 1)[0]
        self.values |= {"agency": agency, "reading": reading.index, "read_at": _time(reading.leaf)}
        what = query.get("what")
        if what in ("subject", "case"):
            self._persons(query, agency)
        elif what == "period":
            self._period(query, agency)
        else:
            raise Malformed("log.bundle", "a bundle is about a subject, a case or a period")
        self._rules()
        self.lines.end()
        self.shown.append("reading")
        self.unchecked += ["key_origin", "truth", "other_views"]
        self._witnesses()
        return Report(self.shown, self.unchecked, self.values)

    def _head(self) -> tuple[Line, _Proved]:
        head = self.lines.take()
        if head.get("format") != FORMAT:
            raise Malformed("log.bundle", f"a bundle begins with its format, {FORMAT}")
        _members(head, "format", "keys", "reading")
        if not set(_listed(head["keys"], str)) <= {str(key) for key in self.keys}:
            raise NotProven("log.bundle_key", "the bundle names a verifier key that was not given")
        reading = self._proved(head["reading"])
        details = reading.leaf.details
        if reading.leaf.kind != "log_read" or details.get("way") != "export" or "query" not in reading.openings:
            raise NotProven("log.bundle_reading", "the bundle is not the one that was logged")
        query = reading.openings["query"]["value"]
        if not isinstance(query, dict):
            raise Malformed("log.bundle", "a query is an object")
        return query, reading

    def _proved(self, line: Any) -> _Proved:
        """Verifies receipt and openings of an entry."""
        _members(line, "log", "index", "leaf", "receipt", "openings")
        if not isinstance(line["receipt"], str) or not isinstance(line["leaf"], str):
            raise Malformed("log.bundle", "leaf and receipt are texts")
        verified = verify_receipt(line["receipt"], line["leaf"].encode(), map(str, self.keys))
        if (verified.origin, verified.index) != (line["log"], line["index"]):
            raise NotProven("log.no_such_leaf", "the receipt is that of another place")
        self._note(Proof.parse(line["receipt"]).checkpoint)
        if not isinstance(line["openings"], dict):
            raise Malformed("log.bundle", "openings stand under the names of commitments")
        for name, opening in line["openings"].items():
            _members(opening, "key", "value")
            verify_opening(verified.leaf, name, _hex(opening["key"]), opening["value"])
        return _Proved(verified.origin, verified.index, verified.leaf, line["openings"])

    def _persons(self, query: Line, agency: str) -> None:
        upto = _pairs(query.get("upto"))
        asked = {name: query[name] for name in ("person", "case") if name in query}
        digest, tied, found, openings = sha256(), set[tuple[str, int]](), 0, 0
        for line in self.lines.starting_with("receipt"):
            entry = self._proved(line)
            if entry.log.rsplit("/", 1)[0] != agency or entry.index >= upto.get(entry.log, 0):
                raise NotProven("log.bundle_entries", "an entry is of another log or later than the question")
            if not set(entry.openings) <= set(_listed(query.get("open"), str)):
                raise NotProven("log.bundle_reading", "more is opened than was asked for")
            opened = {name: entry.openings[name]["value"] for name in asked if name in entry.openings}
            if any(opened[name] != asked[name] for name in opened):
                raise NotProven("log.bundle_entries", "an entry is about somebody or something else")
            about = entry.leaf.about
            if opened or (about and (about.log, about.index) in tied):
                tied.add((entry.log, entry.index))
            digest.update(f"{entry.log} {entry.index}\n".encode())
            found, openings = found + 1, openings + len(entry.openings)
            self._named(entry.leaf.rule_set)
        if (found, digest.hexdigest()) != (query.get("entries"), query.get("places")):
            raise NotProven("log.bundle_entries", "these are not the entries that the agency committed to")
        self.values |= {"entries": found, "openings": openings, "tied": len(tied), "untied": found - len(tied)}
        self.shown += [str(query["what"]), *(["openings"] if openings else [])]
        self.unchecked += ["index", *(["untied"] if len(tied) < found else [])]

    def _period(self, query: Line, agency: str) -> None:
        segments = _listed(query.get("segments"), list)
        if not segments:
            raise Malformed("log.bundle", "a period lies in at least one log")
        check = _Stretch(str(query.get("from")), str(query.get("until")))
        for segment in segments:
            head = self.lines.take()
            _members(head, "log", "first", "end", "checkpoint", "left", "right")
            signed = open_checkpoint(str(head["checkpoint"]), self.keys)
            if [head["log"], head["first"], head["end"], signed.size] != segment or signed.origin != head["log"]:
                raise NotProven("log.bundle_entries", "this is not the part of the log that the agency committed to")
            if signed.origin.rsplit("/", 1)[0] != agency or not _listed([head["first"], head["end"]], int):
                raise NotProven("log.bundle_entries", "a part is of another agency's log")
            self._note(head["checkpoint"])
            check.segment(head, signed, self.lines, self._named)
        check.close()
        words = {"from": str(query.get("from")), "until": str(query.get("until"))}
        self.values |= {**words, "entries": check.inside, "deleted": check.deleted, "size": check.size}
        self.shown.append("period" if check.inside or check.deleted else "empty")
        self.shown += ["to_the_end"] if check.to_the_end else []
        self.unchecked += [*check.unchecked, "times", "no_openings"]
        self.unchecked += [*(["deleted"] if check.deleted else []), *(["later"] if check.to_the_end else [])]

    def _named(self, rule_set: Any) -> None:
        if rule_set:
            self.rule_sets.add(str(rule_set))

    def _rules(self) -> None:
        enclosed = set[str]()
        for line in self.lines.starting_with("rules"):
            _members(line, "rules", "rule_set")
            hashed = sha256(str(line["rules"]).encode()).hexdigest()
            if hashed != line["rule_set"] or hashed not in self.rule_sets or hashed in enclosed:
                raise NotProven("log.bundle_rules", "a rule set has not the hash that stands in the entries")
            enclosed.add(hashed)
        missing = len(self.rule_sets) - len(enclosed)
        self.values |= {"rules": len(enclosed), "missing_rules": missing}
        self.shown += ["rules"] if enclosed else []
        self.unchecked += ["no_rules"] if missing else []

    def _note(self, note: str) -> None:
        """Remember a tree head, and whether it is cosigned as the policy asks."""
        if note not in self.notes and self.policy is not None:
            try:
                self.policy.check(note, self.keys)
            except NotProven:
                self.notes[note] = False
            else:
                self.notes[note] = True

    def _witnesses(self) -> None:
        if self.policy is None:
            self.unchecked.append("signatures_of_others")
            return
        self.values |= {"heads": len(self.notes), "witnessed": sum(self.notes.values())}
        self.shown.append("heads_witnessed")
        self.unchecked.append("witnesses_independent")


class _Stretch:
    """Consecutive parts of an agency's logs, from the last entry before a period to the first one behind it."""

    def __init__(self, start: str, until: str) -> None:
        self._start, self._until = start, until
        self._last: str | None = ""
        self._head: Checkpoint | None = None
        self.inside = self.deleted = self.size = 0
        self.to_the_end = False
        self.unchecked: list[str] = []

    def segment(self, head: Line, signed: Checkpoint, lines: _Lines, named: Callable[[Any], None]) -> None:
        """One log: its entries lead to the signed root, and it goes on where the log before ended."""
        first, end = head["first"], head["end"]
        if not 0 <= first < end <= signed.size or (self._head and (first or not self.to_the_end)):
            raise NotProven("log.bundle_edge", "the parts of the log do not follow each other")
        tree = Frontier(first, _hashes(head["left"], complete_subtrees(0, first)))
        waiting = list[bytes]()
        for index in range(first, end):
            leaf = self._entry(lines.take(), index, waiting)
            if index == first:
                self._edge(leaf, first)
            if leaf:
                named(leaf.get("rule_set"))
            if len(waiting) >= AT_ONCE:
                tree, waiting = tree.extended(waiting)[0], []
        tree = tree.extended(waiting)[0]
        after = complete_subtrees(end, signed.size)
        right = zip(after, _hashes(head["right"], after), strict=True)
        if _root(tree, right) != signed.root:
            raise NotProven("log.root_differs", "the entries do not lead to the signed root")
        self._head, self.size, self.to_the_end = signed, signed.size, end == signed.size

    def close(self) -> None:
        """What follows the last entry: another of a later time, the end of the log, or something deleted."""
        behind = self._last is not None and self._last >= self._until
        self.to_the_end = self.to_the_end and not behind
        if self._last is None:
            self.unchecked.append("right_edge")
        elif not behind and not self.to_the_end:
            raise NotProven("log.bundle_edge", "the entry behind the period is not there")

    def _entry(self, line: Line, index: int, waiting: list[bytes]) -> Line | None:
        if "hash" in line:
            _members(line, "index", "hash")
            hashed, leaf, self._last = _hex(line["hash"]), None, None
            self.deleted += 1
        else:
            _members(line, "index", "leaf")
            data = str(line["leaf"]).encode()
            hashed, leaf = leaf_hash(data), _said(data)
            self._last = leaf["time"]
            self.inside += self._start <= leaf["time"] < self._until
        if line["index"] != index:
            raise NotProven("log.entry_missing", f"entry {index} is not there")
        waiting.append(hashed)
        return leaf

    def _edge(self, leaf: Line | None, first: int) -> None:
        """The first entry of a part: it names the log before, or lies before the period."""
        if self._head is not None:
            if leaf is None or leaf.get("kind") == "origin_restarted":
                self.unchecked.append("joint")
            elif not leaf.get("previous") or claimed_checkpoint(str(leaf["previous"])) != self._head:
                raise NotProven("log.chain_broken", "a log does not continue the one before")
        elif leaf is None:
            self.unchecked.append("left_edge")
        elif leaf["time"] >= self._start and (first or leaf.get("previous")):
            if first:
                raise NotProven("log.bundle_edge", "the entry before the period is not there")
            self.unchecked.append("left_edge")


def _root(tree: Frontier, right: Iterable[tuple[tuple[int, int], bytes]]) -> bytes:
    """The root over a tree and the complete subtrees to the right of it."""
    peaks = list(tree.peaks)
    for (_, index), hashed in right:
        node, place = hashed, index
        while place & 1:
            node, place = node_hash(peaks.pop(), node), place >> 1
        peaks.append(node)
    return fold(peaks)


def _hashes(texts: Any, wanted: Sequence[object]) -> tuple[bytes, ...]:
    hashes = tuple(_hex(each) for each in _listed(texts, str))
    if len(hashes) != len(wanted):
        raise NotProven("log.inclusion", "the path has the wrong length")
    return hashes


def _hex(text: Any) -> bytes:
    try:
        data = bytes.fromhex(text)
    except (ValueError, TypeError):
        data = b""
    if len(data) != 32 or data.hex() != text:
        raise Malformed("log.bundle", "keys and hashes are 64 hexadecimal digits")
    return data


def _spelled(line: Any) -> bytes:
    """The canonical form; lines of whole numbers and texts, of which there may be millions, take a quick way to it."""
    if isinstance(line, dict) and all(type(each) in (int, str) for each in line.values()):
        return orjson.dumps(line, option=orjson.OPT_SORT_KEYS)
    return canonical(line)


def _said(data: bytes) -> Line:
    """What an entry says, as far as a period asks; the tree proves the bytes, so they are not read more strictly."""
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict) or said.get("version") != 1 or not isinstance(said.get("time"), str):
        raise Malformed("log.leaf_version", "only leaves of version 1 are understood")
    return said


def _members(line: Any, *names: str) -> None:
    if not isinstance(line, dict) or set(line) != set(names):
        raise Malformed("log.bundle", f"expected {', '.join(sorted(names))} and nothing else")


def _pairs(listed: Any) -> dict[str, int]:
    pairs = _listed(listed, list)
    if not all(len(each) == 2 and isinstance(each[0], str) and type(each[1]) is int for each in pairs):
        raise Malformed("log.bundle", "upto lists logs with their sizes")
    return {str(each[0]): int(each[1]) for each in pairs}


def _listed(found: Any, kind: type[T]) -> list[T]:
    if not isinstance(found, list) or not all(type(each) is kind for each in found):
        raise Malformed("log.bundle", "a list has other members than its format names")
    return found


def _time(leaf: Leaf) -> str:
    return timestamp(leaf.time) if leaf.time else ""
