"""From the files of contracts/law to a RuleSet: every word is checked, every flaw is named with its line."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path as FilePath
from typing import Any

from shared.canonical import canonical
from shared.policy.citation import is_citation
from shared.policy.model import (
    ALWAYS,
    AllOf,
    AnyOf,
    Condition,
    Exemption,
    FactIs,
    Not,
    Obligation,
    Rule,
    RuleHolds,
    Scope,
    Vocabulary,
)
from shared.policy.reading import Document, Flaw, LawError, Path, read
from shared.policy.readings import Only, Question, choose, only_under, open_questions
from shared.policy.references import check_references, check_versions, in_order
from shared.policy.ruleset import RuleSet
from shared.policy.versions import CERTAINTIES, NO_VERSIONS, norm_versions
from shared.policy.words import listed, obligations, vocabulary

_RULE_KEYS = {
    *("id", "norm", "also", "source", "title", "effect", "default", "valid_from", "valid_until", "from", "to"),
    *("categories", "purposes", "when", "unless", "obligations", "explanation", "note", "certainty"),
    *("reviewed_by", "reviewed_on", "reading"),
}
_REQUIRED_RULE_KEYS = ("id", "norm", "source", "title", "effect", "valid_from", "from", "to", "categories", "purposes")
_EXEMPTION_KEYS = {"norm", "when", "unless", "obligations", "valid_from", "valid_until", "reading"}
_VOCABULARY, _OBLIGATIONS, _VERSIONS, _READINGS = (
    f"{name}.yaml" for name in ("vocabulary", "obligations", "versions", "readings")
)


def load(path: str | FilePath, readings: Mapping[str, str] | None = None) -> RuleSet:
    """The law in a folder: vocabulary.yaml, obligations.yaml, versions.yaml, readings.yaml and rules/*.yaml.

    `readings` (open question → reading) are followed instead of those the folder chooses. Raises LawError, which
    names every flaw with file, line and remedy; a law with a flaw is not used at all.
    """
    folder = FilePath(path)
    names = [_VOCABULARY, _OBLIGATIONS, _VERSIONS, _READINGS]
    names += [f"rules/{file.name}" for file in sorted((folder / "rules").glob("*.yaml"))]
    documents: list[Document] = []
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except OSError as error:
            flaw = Flaw(name, 1, "the file cannot be read", f"Put it into {folder}.")
            raise LawError([flaw]) from error
        documents.append(read(text, name))
    return build(_following(documents, readings))


def _following(documents: list[Document], readings: Mapping[str, str] | None) -> list[Document]:
    return [choose(each, readings or {}) if each.file == _READINGS else each for each in documents]


def restore(content: Mapping[str, Any], readings: Mapping[str, str] | None = None) -> RuleSet:
    """The law from its stored content (`RuleSet.content`), to decide an old case again under its hash."""
    days = {"valid_from", "valid_until"}

    def dated(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: dated(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [dated(item) for item in value]
        return date.fromisoformat(value) if key in days and isinstance(value, str) else value

    return build(_following([Document(name, dated(data)) for name, data in content.items()], readings))


def build(documents: Sequence[Document]) -> RuleSet:
    """The law from its documents; those under rules/ are lists of rules.

    Older content may be without versions.yaml and readings.yaml: nothing was dated or open in it.
    """
    flaws: list[Flaw] = []
    by_name = {document.file: document for document in documents}
    words = vocabulary(by_name[_VOCABULARY])
    duties = obligations(by_name[_OBLIGATIONS])
    versions = norm_versions(by_name[_VERSIONS]) if _VERSIONS in by_name else NO_VERSIONS
    questions = open_questions(by_name[_READINGS]) if _READINGS in by_name else {}
    rules: list[Rule] = []
    asked: dict[str, tuple[str, ...]] = {}
    for document in documents:
        if document.file not in (_VOCABULARY, _OBLIGATIONS, _VERSIONS, _READINGS):
            reader = _RuleReader(document, words, duties, questions, flaws)
            rules.extend(reader.rules())
            asked |= {id_: tuple(dict.fromkeys((*asked.get(id_, ()), *new))) for id_, new in reader.asked.items()}
    check_references(rules, flaws)
    check_versions(rules, flaws)
    if flaws:
        raise LawError(flaws)
    content = {document.file: _plain(document.data) for document in documents}
    digest = hashlib.sha256(canonical(content)).hexdigest()
    return RuleSet(
        in_order(rules), words, duties, digest, content, dated_norms=versions, questions=questions, asked=asked
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


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
        self,
        document: Document,
        vocabulary: Vocabulary,
        obligations: Mapping[str, Obligation],
        questions: Mapping[str, Question],
        flaws: list[Flaw],
    ) -> None:
        super().__init__(document, vocabulary, flaws)
        self.known_obligations = obligations
        self.questions = questions
        self.asked: dict[str, tuple[str, ...]] = {}

    def rules(self) -> list[Rule]:
        data = self.document.data
        if not isinstance(data, list):
            self.flaw((), "the file is not a list of rules", "Begin each rule with '- id:'.")
            return []
        found = [(self.rule(entry, (index,)), (index,)) for index, entry in enumerate(data)]
        return [rule for rule, path in found if rule is not None and self.followed(data[path[0]], path)]

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
        asked = self.questions_of(entry, path)
        if asked:
            self.asked[str(entry["id"])] = (*self.asked.get(str(entry["id"]), ()), *asked)
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
            note=self.note(entry, path),
            certainty=certainty,
            reviewed_by=str(entry.get("reviewed_by") or ""),
            reviewed_on=str(entry.get("reviewed_on") or ""),
            file=self.document.file,
            line=self.document.lines.get(path, 1),
            questions=asked,
        )
        if rule.valid_until is not None and rule.valid_until <= rule.valid_from:
            self.flaw((*path, "valid_until"), "the rule ends before it begins", "valid_until is the day after.")
        return rule if len(self.flaws) == before else None

    def form(self, entry: dict[str, Any], path: Path) -> None:
        for key in entry.keys() - _RULE_KEYS:
            self.flaw((*path, key), f"unknown key '{key}'", f"Known: {listed(_RULE_KEYS)}.")
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
            if mark not in CERTAINTIES:
                self.flaw((*path, "certainty"), f"'{mark}' is no mark", f"Known: {listed(CERTAINTIES)}.")

    def note(self, entry: dict[str, Any], path: Path) -> Mapping[str, str]:
        """A note may be missing; content of older days has it in German only."""
        value = entry.get("note")
        if value is None or isinstance(value, str):
            return {"de": value or "", "en": value or ""}
        return self.both_languages(entry, "note", path)

    def questions_of(self, entry: dict[str, Any], path: Path) -> tuple[str, ...]:
        """The open questions that a rule and its exceptions name, whichever reading is followed."""
        only = only_under(entry.get("reading"), self.questions, self.document, (*path, "reading"))
        if isinstance(only, Flaw):
            self.flaws.append(only)
        found = [only.question] if isinstance(only, Only) else []
        for index, exemption in enumerate(entry.get("unless") or ()):
            if isinstance(exemption, dict):
                found.extend(self.questions_of(exemption, (*path, "unless", index)))
        return tuple(dict.fromkeys(found))

    def followed(self, entry: Any, path: Path) -> bool:
        """Whether a rule or exception stands in the law under the readings that are chosen."""
        value = entry.get("reading") if isinstance(entry, dict) else None
        only = only_under(value, self.questions, self.document, path)
        return not isinstance(only, Only) or self.questions[only.question].chosen == only.reading

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
        found = [(self.exemption(entry, (*path, index)), index) for index, entry in enumerate(value)]
        return tuple(exemption for exemption, index in found if self.followed(value[index], (*path, index)))

    def exemption(self, entry: Any, path: Path) -> Exemption:
        if not isinstance(entry, dict):
            self.flaw(path, "an exception is not a map", "Begin it with '- norm:'.")
            return Exemption("", ALWAYS)
        for key in entry.keys() - _EXEMPTION_KEYS:
            self.flaw((*path, key), f"unknown key '{key}'", f"Known: {listed(_EXEMPTION_KEYS)}.")
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
                keys = listed(value)
                self.flaw(path, f"a condition with {keys} is not understood", "fact and is, rule, all, any or not.")
                return ALWAYS
