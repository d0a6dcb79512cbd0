"""`law`: ask the law, check cases against it, read a rule, look for faults, prove sentences, compare, export.

Exit codes: 0 lawful or without findings, 1 not lawful or with findings, 2 wrong use or unusable input.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import click

from services.command.law_words import flip, in_german
from shared.canonical import canonical
from shared.errors import Invalid
from shared.policy import LawError, RuleSet, cedar, decide, explain, load, request_from_json, restore
from shared.policy.cases import Mismatch, check, is_case, read_cases, request_part
from shared.policy.citation import covered
from shared.policy.describe import describe, describe_question, differences
from shared.policy.invariants import broken, load_invariants
from shared.policy.lint import broken_cases, lint
from shared.policy.model import Lang, Rule
from shared.policy.readings import CAUTIOUS
from shared.policy.request import LAW, present_law

FINDING, USAGE = 1, 2

_Command = Callable[..., Any]


def _law_option(command: _Command) -> _Command:
    return click.option(
        "--law",
        "folder",
        type=click.Path(path_type=Path),
        default=LAW,
        help="Folder with vocabulary.yaml, rules/ and the rest, or a file written by `law export --to json` "
        "(default: the law delivered with the code).",
    )(command)


def _reading_option(command: _Command) -> _Command:
    return click.option(
        "--reading",
        "readings",
        multiple=True,
        metavar="QUESTION=READING",
        callback=_choices,
        help="Follow another reading of an open question, such as f-24=transitional (see `law explain f-24`).",
    )(command)


def _choices(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> Mapping[str, str]:
    pairs = [each.partition("=") for each in value]
    if not all(name and reading for name, _, reading in pairs):
        raise click.BadParameter("write QUESTION=READING, such as f-24=transitional")
    return {name: reading for name, _, reading in pairs}


def _json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")(command)


def _lang_option(command: _Command) -> _Command:
    return click.option("--lang", type=click.Choice(["de", "en"]), default="de", help="Language of the answer.")(
        command
    )


@click.group()
def law() -> None:
    """Ask and check the rules of data sharing (contracts/law)."""


@law.command("decide")
@click.argument("file", default="-", type=click.Path(allow_dash=True))
@_law_option
@_reading_option
@click.option("--json", "as_json", is_flag=True, help="One JSON decision on each line (the default).")
@_lang_option
@click.option(
    "--unnamed",
    type=click.Choice(["no", "unknown"]),
    default=None,
    help="What a fact means that is not mentioned: no in case files, unknown in a request (the default for each).",
)
@click.option(
    "--audience",
    type=click.Choice(["case_worker", "auditor", "recipient"]),
    default=None,
    help="Answer in words for these readers instead of JSON.",
)
@click.option("--installed", default=None, help="Obligations that running code performs, separated by commas.")
def decide_command(  # noqa: PLR0917
    file: str,
    folder: Path,
    readings: Mapping[str, str],
    as_json: bool,  # noqa: FBT001
    lang: Lang,
    unnamed: Literal["no", "unknown"] | None,
    audience: Literal["case_worker", "auditor", "recipient"] | None,
    installed: str | None,
) -> None:
    """Decide the request in FILE (YAML, JSON or JSON lines; - reads standard input), or every case of a case file.

    One JSON decision on each line, in the order of the requests. A request that is not understood gets a line with
    what is wrong; the others are decided all the same, and the exit code is 2. A refusal is an answer: 0.
    """
    if as_json and audience:
        _fail("--json and --audience exclude each other")
    rules = _load(folder, readings)
    cases = _cases(file)
    duties = None if installed is None else frozenset(name.strip() for name in installed.split(",") if name.strip())
    codes = {0}
    for index, case in enumerate(cases):
        known = isinstance(case, dict)
        name = str(case["id"]) if known and "id" in case else f"#{index + 1}"
        meaning = unnamed or ("no" if known and is_case(case) else "unknown")
        try:
            request = request_from_json(request_part(case) if known else case, unnamed=meaning, ruleset=rules)
            decision = decide(rules, request, installed=duties)
        except Invalid as error:
            codes.add(USAGE)
            for problem in error.problems:
                click.echo(f"{file}: {name}: {problem.pointer}: {problem.detail}. {problem.remedy}", err=True)
            if not audience:
                _print_line(name, {"problems": [problem._asdict() for problem in error.problems]})
            continue
        if audience:
            click.echo((f"{name}\n" if len(cases) > 1 else "") + explain(decision, audience, lang))
        else:
            _print_line(name, {"decision": "permit" if decision.permitted else "forbid", **decision.to_json()})
    sys.exit(max(codes))


@law.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@_law_option
@_reading_option
@_json_option
def check_command(
    files: tuple[str, ...],
    folder: Path,
    readings: Mapping[str, str],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Compare the cases in FILES with what the law says: decision, categories, basis, what is missing."""
    rules = _load(folder, readings)
    count = 0
    found: list[tuple[str, Mismatch]] = []
    for file in files:
        cases = _cases(file)
        count += len(cases)
        found.extend((file, miss) for miss in check(rules, cases))
    if as_json:
        mismatches = [{"file": file, **miss.to_json()} for file, miss in found]
        _print_json({"cases": count, "rule_set": rules.hash, "mismatches": mismatches})
    else:
        for file, miss in found:
            click.echo(f"{file}: {in_german(miss)}")
        click.echo(f"{count} Fälle, {len(found)} Abweichungen, Rechtsstand {rules.hash[:12]}")
    sys.exit(FINDING if found else 0)


@law.command("explain", short_help="Show a rule in words, by id, norm or number in the rule book.")
@click.argument("rule")
@_law_option
@_reading_option
@_json_option
@_lang_option
def explain_command(
    rule: str,
    folder: Path,
    readings: Mapping[str, str],
    as_json: bool,  # noqa: FBT001
    lang: Lang,
) -> None:
    """Show RULE in words: an id, a norm such as "§ 76 Abs. 1 SGB X", or the number in the rule book (R-002).

    An open question (f-24) is shown with its readings and the one that is followed.
    """
    rules = _load(folder, readings)
    if rule.lower() in rules.questions:
        asked = rules.questions[rule.lower()]
        if as_json:
            texts = {name: text[lang] for name, text in asked.readings.items()}
            _print_json({"id": asked.id, "question": asked.says[lang], "readings": texts, "chosen": asked.chosen})
        else:
            click.echo(describe_question(rules, asked, lang), nl=False)
        return
    found = _named(rules, rule)
    if not found:
        near = ", ".join(item.id for item in rules.rules if rule.lower() in item.id) or "see `law lint --json`"
        _fail(f"there is no rule '{rule}'; similar: {near}")
    if as_json:
        keys = ("id", "norm", "also", "effect", "source", "certainty", "obligations")
        _print_json(
            [
                {
                    **{key: getattr(item, key) for key in keys},
                    "title": item.title[lang],
                    "valid_from": item.valid_from.isoformat(),
                    "valid_until": item.valid_until.isoformat() if item.valid_until else "",
                    "text": describe(rules, item, lang),
                }
                for item in found
            ]
        )
    else:
        click.echo("\n".join(describe(rules, item, lang) for item in found), nl=False)


@law.command("lint")
@_law_option
@_reading_option
@_json_option
def lint_command(folder: Path, readings: Mapping[str, str], as_json: bool) -> None:  # noqa: FBT001
    """Look for faults: files that do not load, dead exceptions, rules without cases, cases that fail."""
    try:
        rules = load(folder, readings)
    except LawError as error:
        flaws = [flaw._asdict() for flaw in error.flaws]
        if as_json:
            _print_json({"rules": 0, "findings": flaws})
        else:
            click.echo(str(error))
        sys.exit(FINDING)
    cases = [case for file in sorted((folder / "cases").glob("*.yaml")) for case in _cases(str(file))]
    found = [*lint(rules, cases), *broken_cases(rules, cases)]
    if as_json:
        _print_json(
            {
                "rules": len(rules.rules),
                "cases": len(cases),
                "rule_set": rules.hash,
                "readings": {name: asked.chosen for name, asked in rules.questions.items()},
                "findings": [finding.to_json() for finding in found],
            }
        )
    else:
        for finding in lint(rules, cases):
            click.echo(f"{finding.place}: {finding.rule}: {finding.detail}")
        for miss in check(rules, cases):
            click.echo(in_german(miss))
        for asked in rules.questions.values():
            if asked.chosen != CAUTIOUS:
                click.echo(
                    f"Offene Frage {asked.id.upper()}: nicht vorsichtig gelesen: {asked.readings[asked.chosen]['de']}"
                )
        click.echo(f"{len(rules.rules)} Regeln, {len(cases)} Fälle, {len(found)} Befunde, Rechtsstand {rules.hash}")
    sys.exit(FINDING if found else 0)


@law.command("prove")
@_law_option
@_json_option
@_lang_option
def prove_command(folder: Path, as_json: bool, lang: Lang) -> None:  # noqa: FBT001
    """Prove the sentences of invariants.yaml over all requests; show a counterexample for each that fails."""
    rules = _load(folder)
    try:
        sentences = load_invariants(rules, folder / "invariants.yaml")
    except (LawError, OSError) as error:
        _fail(str(error))
    found = {item.invariant: str(item) for item in broken(rules, sentences)}
    if as_json:
        _print_json(
            {
                "rule_set": rules.hash,
                "invariants": [
                    {
                        "id": item.id,
                        "norm": item.norm,
                        "proved": item.id not in found,
                        "counterexample": found.get(item.id, ""),
                    }
                    for item in sentences
                ],
            }
        )
    else:
        words = {"de": ("bewiesen", "widerlegt durch"), "en": ("proved", "refuted by")}[lang]
        for item in sentences:
            verdict = f"{words[1]} {found[item.id]}" if item.id in found else words[0]
            click.echo(f"{item.id} ({item.norm}): {item.says[lang]} {verdict}")
    sys.exit(FINDING if found else 0)


@law.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@_reading_option
@_json_option
@_lang_option
def diff_command(
    old: Path,
    new: Path,
    readings: Mapping[str, str],
    as_json: bool,  # noqa: FBT001
    lang: Lang,
) -> None:
    """Say what changed from the law in folder OLD to the law in folder NEW, rule by rule and case by case.

    With --reading the new law follows that reading.
    """
    before, after = _load(old), _load(new, readings)
    changes = differences(before, after, lang)
    cases = [case for file in sorted((new / "cases").glob("*.yaml")) for case in _cases(str(file))]
    flips = [line for case in cases if (line := flip(before, after, case, lang))]
    if as_json:
        _print_json({"old": before.hash, "new": after.hash, "changes": changes, "cases": flips})
    else:
        for line in [*changes, *flips] or ["Keine Änderung." if lang == "de" else "No change."]:
            click.echo(line)
    sys.exit(FINDING if changes or flips else 0)


@law.command("export")
@click.option("--to", "target", type=click.Choice(["cedar", "json"]), required=True, help="The language to write.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=None, help="A folder (default: standard output)."
)
@_law_option
def export_command(target: str, out: Path | None, folder: Path) -> None:
    """Write the rules for another engine (cedar: policies, one file for each file of rules, and their schema).

    json writes the whole law into one file named by its hash. Kept, it lets an old decision be taken again to the same
    bytes: `law decide --law law-….json`.
    """
    rules = _load(folder)
    stored = {f"law-{rules.hash}.json": canonical(rules.content).decode() + "\n"}
    files = cedar.export(rules) if target == "cedar" else stored
    if out is None:
        click.echo("\n".join(text for name, text in files.items() if name != cedar.SCHEMA), nl=False)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        _fail(f"{out} cannot be written: {type(error).__name__}")
    click.echo(f"{len(files)} Dateien in {out}")


def _named(rules: RuleSet, name: str) -> list[Rule]:
    exact = list(rules.versions(name)) or [rule for rule in rules.rules if rule.source.endswith(name)]
    return exact or [rule for rule in rules.rules if covered(name, rule.norms)]


def _load(folder: Path, readings: Mapping[str, str] | None = None) -> RuleSet:
    try:
        if folder.is_file():
            return restore(json.loads(folder.read_text(encoding="utf-8")), readings)
        return present_law() if folder == LAW and not readings else load(folder, readings)
    except LawError as error:
        _fail(str(error))
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        _fail(f"{folder} is no stored law: {type(error).__name__}")


def _cases(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{file} cannot be read: {type(error).__name__}")
    try:
        return read_cases(text, file)
    except LawError as error:
        _fail(str(error))


def _print_line(name: str, value: Mapping[str, Any]) -> None:
    click.echo(json.dumps({"id": name, **value}, ensure_ascii=False, separators=(",", ":")))


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    raise SystemExit(USAGE)


if __name__ == "__main__":
    cast("Callable[[], None]", law)()
