"""What the auditor's tool says, in German and English, to people and to machines. Exit codes: 0, 1 and 2."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import Progress

from shared.audit import Leaf
from shared.clock import timestamp
from shared.merkle import NotProven
from shared.notes import Malformed

PROVEN, NOT_PROVEN, UNUSABLE = 0, 1, 2

WORDS = {
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
        "Mitzeichnungen von Zeugen (dazu die Regel, welche zählen, mit --policy angeben)",
        "cosignatures of witnesses (give the policy that says whose count, with --policy)",
    ),
    "witnessed": (
        "Mitgezeichnet, wie die Regel es verlangt, von: {witnesses}.",
        "Cosigned as the policy asks, by: {witnesses}.",
    ),
    "nobody_needed": (
        "Die Regel verlangt keine Mitzeichnung.",
        "The policy asks for no cosignature.",
    ),
    "witnesses_independent": (
        "ob die Zeugen voneinander und vom Protokoll unabhängig sind",
        "whether the witnesses are independent of each other and of the log",
    ),
    "subject": (
        (
            "{entries} Einträge stehen in signierten Protokollen. Im Protokoll hat sich {agency} darauf festgelegt: Zu "
            "dieser Person sind es bis zum Stand der Abfrage genau diese."
        ),
        (
            "{entries} entries stand in signed logs. In the log {agency} committed itself: about this person it is "
            "exactly these, up to the state that was asked."
        ),
    ),
    "case": (
        (
            "{entries} Einträge stehen in signierten Protokollen. Im Protokoll hat sich {agency} darauf festgelegt: Zu "
            "diesem Fall sind es bis zum Stand der Abfrage genau diese."
        ),
        (
            "{entries} entries stand in signed logs. In the log {agency} committed itself: about this case it is "
            "exactly these, up to the state that was asked."
        ),
    ),
    "period": (
        (
            "Von {from} bis vor {until} stehen {entries} Einträge ohne Lücke zwischen ihren Nachbarn, im signierten "
            "Protokoll von {agency}."
        ),
        (
            "From {from} to before {until} there are {entries} entries without a gap between their neighbours, in the "
            "signed log of {agency}."
        ),
    ),
    "empty": (
        "Von {from} bis vor {until} steht kein Eintrag: Die Nachbarn schließen unmittelbar aneinander an.",
        "From {from} to before {until} there is no entry: the neighbours follow each other immediately.",
    ),
    "to_the_end": (
        "Danach kommt bis zum signierten Ende ({size} Einträge) nichts mehr.",
        "Nothing follows up to the signed end ({size} entries).",
    ),
    "reading": (
        "Der Auszug ist selbst protokolliert (Eintrag {reading}), am {read_at}.",
        "The export is logged itself (entry {reading}), on {read_at}.",
    ),
    "openings": (
        "{openings} Festlegungen sind geöffnet und stimmen; {tied} Einträge gehören nachweislich dazu.",
        "{openings} commitments are opened and hold; {tied} entries provably belong to it.",
    ),
    "rules": (
        "{rules} Regelwerke liegen bei und haben den Hash, der in den Einträgen steht.",
        "{rules} rule sets are enclosed and have the hash that stands in the entries.",
    ),
    "heads_witnessed": (
        "{witnessed} von {heads} Logständen sind so mitgezeichnet, wie die Regel es verlangt.",
        "{witnessed} of {heads} tree heads are cosigned as the policy asks.",
    ),
    "index": (
        "ob es weitere Einträge gibt: das sagt die Stelle, und jeder weitere Eintrag würde sie widerlegen",
        "whether there are further entries: the agency says so, and any further entry would refute it",
    ),
    "untied": (
        "ob {untied} Einträge wirklich dazu gehören (ihre Festlegung ist nicht geöffnet)",
        "whether {untied} entries really belong to it (their commitment is not opened)",
    ),
    "times": (
        (
            "ob außerhalb dieser Plätze ein Eintrag mit einer Zeit aus dem Zeitraum steht (das zeigt nur das ganze "
            "Protokoll: log verify dump), und ob die Zeiten stimmen, die die Stelle einträgt"
        ),
        (
            "whether an entry elsewhere has a time of this period (only the whole log shows that: log verify dump), "
            "and whether the times are right that the agency writes"
        ),
    ),
    "left_edge": (
        "was unmittelbar davor steht (es ist gelöscht)",
        "what stands right before (it was deleted)",
    ),
    "right_edge": (
        "was unmittelbar danach steht (es ist gelöscht)",
        "what stands right behind (it was deleted)",
    ),
    "joint": (
        (
            "ob die Protokolle zweier Jahre lückenlos aneinander anschließen (der erste Eintrag ist gelöscht oder "
            "nennt einen Bruch)"
        ),
        "whether the logs of two years join without a gap (the first entry was deleted or tells of a break)",
    ),
    "later": (
        "was nach diesem signierten Ende noch eingetragen wurde",
        "what was entered after this signed end",
    ),
    "no_rules": (
        "nach welchen Regeln entschieden wurde ({missing_rules} Regelwerke fehlen im Auszug)",
        "by which rules it was decided ({missing_rules} rule sets are not in the bundle)",
    ),
    "no_openings": (
        "wen die Einträge betreffen",
        "whom the entries are about",
    ),
}
"""What is shown and what is not, by name: German and English."""

REASONS = {
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
    "log.quorum": "Es haben nicht so viele Zeugen mitgezeichnet, wie die Regel verlangt.",
    "log.bundle_reading": "Der Auszug ist nicht der, der protokolliert wurde.",
    "log.bundle_key": "Der Auszug nennt einen Prüfschlüssel, der nicht angegeben wurde.",
    "log.bundle_entries": "Es sind nicht die Einträge, auf die sich die Stelle festgelegt hat.",
    "log.bundle_edge": "Am Rand des Zeitraums fehlt ein Eintrag.",
    "log.bundle_chain": "Der Auszug wurde nach seiner Ausgabe verändert.",
    "log.bundle_rules": "Ein Regelwerk hat nicht den Hash, der in den Einträgen steht.",
    "log.chain_broken": "Ein Protokoll setzt das des Vorjahres nicht fort.",
}
"""Why something is not proven, in German; the English is the detail of the error."""


@dataclass
class Report:
    """What a check showed. Words are named, so that people and machines get the same."""

    shown: list[str]
    not_checked: list[str]
    values: dict[str, Any] = field(default_factory=dict)


def answer(check: Callable[[], Report], *, as_json: bool, lang: str) -> None:
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
    return error.detail if lang == "en" else REASONS.get(error.code, error.detail)


def _say(name: str, lang: str, values: Mapping[str, Any]) -> str:
    return WORDS[name][lang == "en"].format(**values)


def said(leaf: Leaf) -> dict[str, str]:
    return {
        "kind": leaf.kind,
        "time": timestamp(leaf.time) if leaf.time else "",
        "sender": leaf.sender or "–",
        "recipient": leaf.recipient or "–",
        "purpose": leaf.purpose or "–",
        "categories": ", ".join(leaf.categories) or "–",
    }


@contextmanager
def reading(file: BinaryIO, size: int) -> Iterator[Iterator[bytes]]:
    """The lines of a file; on a terminal a bar tells how far it is."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("Prüfen", total=size)

        def lines() -> Iterator[bytes]:
            done = 0
            for number, line in enumerate(file):
                done += len(line)
                if number % 1000 == 0:
                    progress.update(task, completed=done)
                yield line

        yield lines()
