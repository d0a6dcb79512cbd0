"""From the files of contracts/law to a RuleSet: every word is checked, every flaw is named with its line."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

from shared.canonical import canonical
from shared.policy.citation import is_citation
from shared.policy.model import (
    ALWAYS,
    CHANGES,
    AllOf,
    AnyOf,
    Condition,
    Exemption,
    FactIs,
    FactWord,
    Not,
    Obligation,
    Rule,
    RuleHolds,
    Scope,
    Vocabulary,
    leaves,
)
from shared.policy.reading import Document, Flaw, LawError, Path, read
from shared.policy.ruleset import RuleSet

_RULE_KEYS = {
    *("id", "norm", "also", "source", "title", "effect", "default", "valid_from", "valid_until", "from", "to"),
    *("categories", "purposes", "when", "unless", "obligations", "explanation", "note", "certainty"),
    *("reviewed_by", "reviewed_on"),
}
_REQUIRED_RULE_KEYS = ("id", "norm", "source", "title", "effect", "valid_from", "from", "to", "categories", "purposes")
_EXEMPTION_KEYS = {"norm", "when", "unless", "obligations", "valid_from", "valid_until"}
_CERTAINTIES = {"text", "secondary", "unverified", "conservative"}


def load(path: str | FilePath) -> RuleSet:
    """The law in a folder: vocabulary.yaml, obligations.yaml and rules/*.yaml.

    Raises LawError, which names every flaw with file, line and remedy; a law with a flaw is not used at all.
    """
    folder = FilePath(path)
    names = ["vocabulary.yaml", "obligations.yaml"]
    names += [f"rules/{file.name}" for file in sorted((folder / "rules").glob("*.yaml"))]
    documents: list[Document] = []
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except OSError as error:
            flaw = Flaw(name, 1, "the file cannot be read", f"Put it into {folder}.")
            raise LawError([flaw]) from error
        documents.append(read(text, name))
    return build(documents)


def restore(content: Mapping[str, Any]) -> RuleSet:
    """The law from its stored content (`RuleSet.content`), to decide an old case again under its hash."""
    days = {"valid_from", "valid_until"}

    def dated(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: dated(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [dated(item) for item in value]
        return date.fromisoformat(value) if key in days and isinstance(value, str) else value

    return build([Document(name, dated(data)) for name, data in content.items()])


def build(documents: Sequence[Document]) -> RuleSet:
    """The law from its documents: the vocabulary first, the obligations second, then the rules."""
    flaws: list[Flaw] = []
    vocabulary = _vocabulary(documents[0], flaws)
    obligations = _obligations(documents[1], flaws)
    if flaws:
        raise LawError(flaws)
    rules: list[Rule] = []
    for document in documents[2:]:
        reader = _RuleReader(document, vocabulary, obligations, flaws)
        rules.extend(reader.rules())
    _check_references(rules, flaws)
    _check_versions(rules, flaws)
    if flaws:
        raise LawError(flaws)
    content = {document.file: _plain(document.data) for document in documents}
    digest = hashlib.sha256(canonical(content)).hexdigest()
    return RuleSet(_in_order(rules), vocabulary, obligations, digest, content)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _entries(document: Document, key: str, allowed: set[str], needed: set[str], flaws: list[Flaw]) -> dict[str, Any]:
    """The entries under a key by id, each with exactly the expected fields."""
    found: dict[str, Any] = {}
    data = document.data if isinstance(document.data, dict) else {}
    for index, entry in enumerate(data.get(key) or []):
        path: Path = (key, index)
        if not isinstance(entry, dict):
            flaws.append(document.flaw(path, f"an entry of '{key}' is not a map", "Give it id and German term."))
            continue
        known = f"Known: {_list(allowed)}."
        flaws.extend(document.flaw((*path, name), f"unknown key '{name}'", known) for name in entry.keys() - allowed)
        missing = sorted(needed - entry.keys())
        flaws.extend(document.flaw(path, f"'{name}' is missing", "Every entry has it.") for name in missing)
        id_ = str(entry.get("id", ""))
        if id_ in found:
            flaws.append(document.flaw(path, f"duplicate id '{id_}' in '{key}'", "Keep one of the two."))
        found[id_] = entry
    if not found:
        flaws.append(document.flaw((), f"'{key}' is empty or missing", "Write the list."))
    return found


def _vocabulary(document: Document, flaws: list[Flaw]) -> Vocabulary:
    domains = _entries(document, "domains", {"id", "de"}, {"id", "de"}, flaws)
    bodies = _entries(
        document, "bodies", {"id", "domain", "section35", "de"}, {"id", "domain", "section35", "de"}, flaws
    )
    groups = _entries(document, "body_groups", {"id", "de", "members"}, {"id", "de", "members"}, flaws)
    categories = _entries(document, "categories", {"id", "de", "note"}, {"id", "de"}, flaws)
    category_groups = _entries(document, "category_groups", {"id", "de", "members"}, {"id", "de", "members"}, flaws)
    purposes = _entries(document, "purposes", {"id", "de"}, {"id", "de"}, flaws)
    fact_keys = {"id", "de", "question", "kind", "asserted_by", "change", "excludes"}
    facts = _entries(document, "facts", fact_keys, {"id", "de", "question", "asserted_by"}, flaws)
    for index, body in enumerate(bodies.values()):
        if body.get("domain") not in domains:
            detail = f"unknown legal domain '{body.get('domain')}'"
            flaws.append(document.flaw(("bodies", index), detail, f"Known: {_list(domains)}."))
    _check_members(document, "body_groups", groups, bodies, flaws)
    _check_members(document, "category_groups", category_groups, categories, flaws)
    _check_facts(document, facts, flaws)
    if flaws:
        raise LawError(flaws)
    return Vocabulary(
        domains={id_: entry["de"] for id_, entry in domains.items()},
        bodies={id_: entry["de"] for id_, entry in bodies.items()},
        domain_of={id_: entry["domain"] for id_, entry in bodies.items()},
        section35=frozenset(id_ for id_, entry in bodies.items() if entry["section35"]),
        body_groups={id_: tuple(entry["members"]) for id_, entry in groups.items()},
        categories={id_: entry["de"] for id_, entry in categories.items()},
        category_groups={id_: tuple(entry["members"]) for id_, entry in category_groups.items()},
        purposes={id_: entry["de"] for id_, entry in purposes.items()},
        facts={
            id_: FactWord(
                id=id_,
                de=entry["de"],
                question=entry["question"],
                kind=entry.get("kind", "boolean"),
                asserted_by=tuple(entry["asserted_by"]),
                change=entry.get("change", ""),
                excludes=entry.get("excludes", ""),
            )
            for id_, entry in facts.items()
        },
    )


def _check_members(
    document: Document, key: str, groups: Mapping[str, Any], known: Mapping[str, Any], flaws: list[Flaw]
) -> None:
    for index, group in enumerate(groups.values()):
        for member in group.get("members", []):
            if member not in known:
                detail = f"unknown member '{member}' of the group '{group.get('id')}'"
                flaws.append(document.flaw((key, index, "members"), detail, f"Known: {_list(known)}."))


def _check_facts(document: Document, facts: Mapping[str, Any], flaws: list[Flaw]) -> None:
    for index, fact in enumerate(facts.values()):
        path: Path = ("facts", index)
        if fact.get("kind", "boolean") not in ("boolean", "integer", "derived"):
            flaws.append(document.flaw(path, "unknown kind of fact", "boolean, integer or derived."))
        if fact.get("change", "") not in ("", *CHANGES):
            flaws.append(document.flaw(path, "unknown kind of change", f"Known: {_list(CHANGES)}."))
        if fact.get("excludes") and fact["excludes"] not in facts:
            flaws.append(document.flaw(path, f"unknown fact '{fact['excludes']}'", "Name a fact of this list."))


def _obligations(document: Document, flaws: list[Flaw]) -> dict[str, Obligation]:
    keys = {"id", "de", "kind", "performed_by"}
    entries = _entries(document, "obligations", keys, keys, flaws)
    for index, entry in enumerate(entries.values()):
        if entry.get("kind") not in ("required", "advisory"):
            detail = f"'{entry.get('kind')}' is no kind of obligation"
            flaws.append(document.flaw(("obligations", index), detail, "Write required or advisory."))
    return {
        id_: Obligation(id_, str(entry.get("de")), entry.get("kind") == "required", str(entry.get("performed_by", "")))
        for id_, entry in entries.items()
    }


class ScopeReader:
    """Reads the parts that rules and invariants share; collects flaws instead of stopping at the first."""

    def __init__(self, document: Document, vocabulary: Vocabulary, flaws: list[Flaw]) -> None:
        self.document = document
        self.vocabulary = vocabulary
        self.flaws = flaws

    def flaw(self, path: Path, detail: str, remedy: str) -> None:
        self.flaws.append(self.document.flaw(path, detail, remedy))

    def scope(self, entry: dict[str, Any], path: Path) -> Scope:
        words = self.vocabulary
        return Scope(
            senders=self.bodies(entry, "from", path),
            recipients=self.bodies(entry, "to", path),
            categories=self.words(entry, "categories", path, words.categories, words.category_groups),
            purposes=self.words(entry, "purposes", path, words.purposes, {}),
        )

    def citation(self, citation: Any, path: Path) -> None:
        if not isinstance(citation, str) or not is_citation(citation):
            self.flaw(path, f"'{citation}' is not a citation", "Write it as § 69 Abs. 1 Nr. 1 SGB X.")

    def both_languages(self, entry: dict[str, Any], key: str, path: Path) -> dict[str, str]:
        value = entry.get(key)
        if not isinstance(value, dict) or set(value) != {"de", "en"} or not all(value.values()):
            self.flaw((*path, key), f"'{key}' is not given in both languages", "Write de and en.")
            return {"de": "", "en": ""}
        return {lang: str(text) for lang, text in value.items()}

    def texts(self, entry: dict[str, Any], key: str, path: Path) -> tuple[str, ...]:
        value = entry.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.flaw((*path, key), f"'{key}' is not a list of texts", "Write it in square brackets.")
            return ()
        return tuple(value)

    def day(self, entry: dict[str, Any], key: str, path: Path) -> date | None:
        value = entry.get(key)
        if value is not None and not isinstance(value, date):
            self.flaw((*path, key), f"'{value}' is not a day", "Write a day as 2026-07-01, without quotation marks.")
            return None
        return value

    def bodies(self, entry: dict[str, Any], key: str, path: Path) -> frozenset[str]:
        groups: dict[str, tuple[str, ...]] = dict(self.vocabulary.body_groups)
        for domain in self.vocabulary.domains:
            groups[f"={domain}"] = tuple(b for b, d in self.vocabulary.domain_of.items() if d == domain)
        return self.words(entry, key, path, self.vocabulary.bodies, groups)

    def words(
        self,
        entry: dict[str, Any],
        key: str,
        path: Path,
        known: Mapping[str, str],
        groups: Mapping[str, tuple[str, ...]],
    ) -> frozenset[str]:
        """The ids behind a scope list: `any`, an id, `@group`, a legal domain; a leading `-` takes away."""
        chosen: set[str] = set()
        removed: set[str] = set()
        before = len(self.flaws)
        for index, word in enumerate(self.texts(entry, key, path)):
            name = word.removeprefix("-")
            target = removed if word.startswith("-") else chosen
            if name == "any":
                target.update(known)
            elif name in known:
                target.add(name)
            elif name.startswith("@") and name[1:] in groups:
                target.update(groups[name[1:]])
            elif f"={name}" in groups:
                target.update(groups[f"={name}"])
            else:
                self.flaw((*path, key, index), f"unknown word '{name}' in '{key}'", "See vocabulary.yaml.")
        if not chosen - removed and len(self.flaws) == before:
            self.flaw((*path, key), f"'{key}' names nothing", "Write [any] for everything.")
        return frozenset(chosen - removed)


class _RuleReader(ScopeReader):
    """Reads the rules of one file."""

    def __init__(
        self, document: Document, vocabulary: Vocabulary, obligations: Mapping[str, Obligation], flaws: list[Flaw]
    ) -> None:
        super().__init__(document, vocabulary, flaws)
        self.known_obligations = obligations

    def rules(self) -> list[Rule]:
        data = self.document.data
        if not isinstance(data, list):
            self.flaw((), "the file is not a list of rules", "Begin each rule with '- id:'.")
            return []
        read_rules = [self.rule(entry, (index,)) for index, entry in enumerate(data)]
        return [rule for rule in read_rules if rule is not None]

    def rule(self, entry: Any, path: Path) -> Rule | None:
        if not isinstance(entry, dict):
            self.flaw(path, "a rule is not a map", "Begin each rule with '- id:'.")
            return None
        before = len(self.flaws)
        self.form(entry, path)
        if len(self.flaws) > before:
            return None
        also = self.texts(entry, "also", path)
        certainty = self.texts(entry, "certainty", path)
        self.words_of_the_law(entry, (entry["norm"], *also), certainty, path)
        scope = self.scope(entry, path)
        when = self.condition(entry["when"], (*path, "when")) if "when" in entry else ALWAYS
        rule = Rule(
            id=str(entry["id"]),
            norm=str(entry["norm"]),
            also=also,
            source=str(entry["source"]),
            title=self.both_languages(entry, "title", path),
            effect=entry["effect"],
            default=entry.get("default") is True,
            valid_from=self.day(entry, "valid_from", path) or date.min,
            valid_until=self.day(entry, "valid_until", path),
            scope=scope,
            when=when,
            unless=self.exemptions(entry.get("unless"), (*path, "unless")),
            obligations=self.obligations(entry, path),
            explanation=self.both_languages(entry, "explanation", path),
            note=str(entry.get("note") or ""),
            certainty=certainty,
            reviewed_by=str(entry.get("reviewed_by") or ""),
            reviewed_on=str(entry.get("reviewed_on") or ""),
            file=self.document.file,
            line=self.document.lines.get(path, 1),
        )
        if rule.valid_until is not None and rule.valid_until <= rule.valid_from:
            self.flaw((*path, "valid_until"), "the rule ends before it begins", "valid_until is the day after.")
        return rule if len(self.flaws) == before else None

    def form(self, entry: dict[str, Any], path: Path) -> None:
        for key in entry.keys() - _RULE_KEYS:
            self.flaw((*path, key), f"unknown key '{key}'", f"Known: {_list(_RULE_KEYS)}.")
        for key in _REQUIRED_RULE_KEYS:
            if not entry.get(key):
                remedy = "Every rule cites its norm." if key == "norm" else "Every rule has it."
                self.flaw(path, f"rule '{entry.get('id', '?')}': '{key}' is missing", remedy)

    def words_of_the_law(
        self, entry: dict[str, Any], citations: tuple[Any, ...], certainty: tuple[str, ...], path: Path
    ) -> None:
        for citation in citations:
            self.citation(citation, (*path, "norm"))
        if entry["effect"] not in ("permit", "forbid"):
            self.flaw((*path, "effect"), f"'{entry['effect']}' is no effect", "Write permit or forbid.")
        if entry.get("default") and entry["effect"] != "forbid":
            self.flaw((*path, "default"), "only a forbid can be the default", "Remove 'default'.")
        for mark in certainty:
            if mark not in _CERTAINTIES:
                self.flaw((*path, "certainty"), f"'{mark}' is no mark", f"Known: {_list(_CERTAINTIES)}.")

    def obligations(self, entry: dict[str, Any], path: Path) -> tuple[str, ...]:
        named = self.texts(entry, "obligations", path)
        for name in named:
            if name not in self.known_obligations:
                self.flaw((*path, "obligations"), f"unknown obligation '{name}'", "See obligations.yaml.")
        return named

    def exemptions(self, value: Any, path: Path) -> tuple[Exemption, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            self.flaw(path, "'unless' is not a list", "Begin each exception with '- norm:'.")
            return ()
        return tuple(self.exemption(entry, (*path, index)) for index, entry in enumerate(value))

    def exemption(self, entry: Any, path: Path) -> Exemption:
        if not isinstance(entry, dict):
            self.flaw(path, "an exception is not a map", "Begin it with '- norm:'.")
            return Exemption("", ALWAYS)
        for key in entry.keys() - _EXEMPTION_KEYS:
            self.flaw((*path, key), f"unknown key '{key}'", f"Known: {_list(_EXEMPTION_KEYS)}.")
        if not entry.get("norm"):
            self.flaw(path, "the exception cites no norm", "Every exception has a norm of its own.")
        else:
            self.citation(entry["norm"], (*path, "norm"))
        if "when" not in entry:
            self.flaw(path, "the exception has no condition", "Write 'when'.")
        return Exemption(
            norm=str(entry.get("norm", "")),
            when=self.condition(entry.get("when", {"all": []}), (*path, "when")),
            unless=self.exemptions(entry.get("unless"), (*path, "unless")),
            obligations=self.obligations(entry, path),
            valid_from=self.day(entry, "valid_from", path),
            valid_until=self.day(entry, "valid_until", path),
        )

    def condition(self, value: Any, path: Path) -> Condition:
        if not isinstance(value, dict):
            self.flaw(path, "a condition is not a map", "Write {fact: ..., is: true} or all, any, not.")
            return ALWAYS
        match value:
            case {"fact": str(name), "is": bool(wanted), **rest} if not rest:
                if name not in self.vocabulary.facts:
                    self.flaw((*path, "fact"), f"unknown fact '{name}'", "See vocabulary.yaml.")
                elif self.vocabulary.facts[name].kind == "integer":
                    self.flaw((*path, "fact"), f"'{name}' is a number", "Conditions ask for yes or no only.")
                return FactIs(name, wanted)
            case {"rule": str(name), **rest} if not rest:
                return RuleHolds(name)
            case {"all": list(parts), **rest} if not rest:
                return AllOf(tuple(self.condition(part, (*path, "all", i)) for i, part in enumerate(parts)))
            case {"any": list(parts), **rest} if not rest and parts:
                return AnyOf(tuple(self.condition(part, (*path, "any", i)) for i, part in enumerate(parts)))
            case {"not": part, **rest} if not rest:
                return Not(self.condition(part, (*path, "not")))
            case _:
                keys = _list(value)
                self.flaw(path, f"a condition with {keys} is not understood", "fact and is, rule, all, any or not.")
                return ALWAYS


def _check_references(rules: Sequence[Rule], flaws: list[Flaw]) -> None:
    graph: dict[str, set[str]] = {}
    for rule in rules:
        graph.setdefault(rule.id, set()).update(leaf.rule for leaf in leaves(rule) if isinstance(leaf, RuleHolds))
    for rule in rules:
        for name in sorted(graph[rule.id] - graph.keys()):
            detail = f"rule '{rule.id}' refers to unknown '{name}'"
            flaws += [Flaw(rule.file, rule.line, detail, "Name a rule.")]
        if _reaches(graph, rule.id, rule.id):
            detail = f"rule '{rule.id}' depends on itself through its references (a cycle)"
            flaws.append(Flaw(rule.file, rule.line, detail, "Remove one of the references."))
    defaults = {rule.id for rule in rules if rule.default}
    for rule in rules:
        for name in sorted(graph[rule.id] & defaults):
            detail = f"rule '{rule.id}' refers to the default rule '{name}'"
            flaws.append(Flaw(rule.file, rule.line, detail, "The default is decided last; refer to permits."))


def _reaches(graph: Mapping[str, set[str]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            todo.extend(graph.get(name, ()))
    return False


def _check_versions(rules: Sequence[Rule], flaws: list[Flaw]) -> None:
    """Two rules of one id are versions of it: they follow each other without gap or overlap."""
    by_id: dict[str, list[Rule]] = {}
    for rule in rules:
        by_id.setdefault(rule.id, []).append(rule)
    for id_, versions in by_id.items():
        versions.sort(key=lambda rule: rule.valid_from)
        for earlier, later in pairwise(versions):
            if earlier.valid_from == later.valid_from:
                detail, remedy = f"duplicate id '{id_}'", "Give the rule an id of its own, or versions of it own dates."
            elif earlier.valid_until is None or earlier.valid_until > later.valid_from:
                detail = f"two versions of '{id_}' overlap"
                remedy = f"Let the earlier one end with valid_until: {later.valid_from.isoformat()}."
            elif earlier.valid_until < later.valid_from:
                detail = f"a gap between two versions of '{id_}'"
                remedy = f"Let the earlier one end with valid_until: {later.valid_from.isoformat()}."
            else:
                continue
            flaws.append(Flaw(later.file, later.line, detail, remedy))


def _in_order(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules after those they refer to; otherwise by id and date, so that the order of files says nothing."""
    by_id: dict[str, list[Rule]] = {}
    for rule in sorted(rules, key=lambda r: (r.id, r.valid_from)):
        by_id.setdefault(rule.id, []).append(rule)
    ordered: list[Rule] = []
    placed: set[str] = set()

    def place(id_: str) -> None:
        if id_ in placed:
            return
        placed.add(id_)
        for rule in by_id[id_]:
            for leaf in leaves(rule):
                if isinstance(leaf, RuleHolds):
                    place(leaf.rule)
        ordered.extend(by_id[id_])

    for id_ in by_id:
        place(id_)
    return tuple(ordered)


def _list(names: Iterable[Any]) -> str:
    return ", ".join(sorted(str(name) for name in names))
