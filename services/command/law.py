"""`law`: ask the law, check cases against it, read a rule, look for faults, prove sentences, compare, export.

Exit codes: 0 lawful or without findings, 1 not lawful or with findings, 2 wrong use or unusable input.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import click

from shared.errors import Invalid
from shared.policy import Decision, LawError, RuleSet, cedar, decide, explain, load, request_from_json
from shared.policy.cases import Mismatch, check, read_cases, request_part
from shared.policy.citation import covered
from shared.policy.describe import describe, differences
from shared.policy.invariants import broken, load_invariants
from shared.policy.lint import broken_cases, lint
from shared.policy.model import Lang, Rule
from shared.policy.request import LAW, present_law

FINDING, USAGE = 1, 2

_Command = Callable[..., Any]


def _law_option(command: _Command) -> _Command:
    return click.option(
        "--law",
        "folder",
        type=click.Path(path_type=Path),
        default=LAW,
        help="Folder with vocabulary.yaml, obligations.yaml and rules/ (default: the law delivered with the code).",
    )(command)


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
@_json_option
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
    default="case_worker",
    help="For whom the answer is worded.",
)
@click.option("--installed", default=None, help="Obligations that running code performs, separated by commas.")
def decide_command(  # noqa: PLR0917
    file: str,
    folder: Path,
    as_json: bool,  # noqa: FBT001
    lang: Lang,
    unnamed: Literal["no", "unknown"] | None,
    audience: Literal["case_worker", "auditor", "recipient"],
    installed: str | None,
) -> None:
    """Decide the request in FILE (YAML or JSON; - reads standard input), or every case of a case file."""
    rules = _load(folder)
    cases = _cases(file)
    duties = None if installed is None else frozenset(name.strip() for name in installed.split(",") if name.strip())
    answers: list[tuple[str, Decision]] = []
    for index, case in enumerate(cases):
        is_case = isinstance(case, dict) and "expected" in case
        meaning = unnamed or ("no" if is_case else "unknown")
        request = request_part(case) if isinstance(case, dict) else case
        name = str(case.get("id", f"#{index + 1}")) if isinstance(case, dict) else f"#{index + 1}"
        try:
            decision = decide(rules, request_from_json(request, unnamed=meaning, ruleset=rules), installed=duties)
        except Invalid as error:
            for problem in error.problems:
                click.echo(f"{file}: {name}: {problem.pointer}: {problem.detail}. {problem.remedy}", err=True)
            sys.exit(USAGE)
        answers.append((name, decision))
    if as_json:
        single = len(answers) == 1
        out: Any = answers[0][1].to_json() if single else [{"id": n, **d.to_json()} for n, d in answers]
        _print_json(out)
    else:
        for name, decision in answers:
            heading = f"{name}\n" if len(answers) > 1 else ""
            click.echo(heading + explain(decision, audience, lang))
    sys.exit(0 if all(decision.permitted for _, decision in answers) else FINDING)


@law.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@_law_option
@_json_option
def check_command(files: tuple[str, ...], folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Compare the cases in FILES with what the law says: decision, categories, basis, what is missing."""
    rules = _load(folder)
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
            click.echo(f"{file}: {_in_german(miss)}")
        click.echo(f"{count} Fälle, {len(found)} Abweichungen, Rechtsstand {rules.hash[:12]}")
    sys.exit(FINDING if found else 0)


@law.command("explain", short_help="Show a rule in words, by id, norm or number in the rule book.")
@click.argument("rule")
@_law_option
@_json_option
@_lang_option
def explain_command(rule: str, folder: Path, as_json: bool, lang: Lang) -> None:  # noqa: FBT001
    """Show RULE in words: an id, a norm such as "§ 76 Abs. 1 SGB X", or the number in the rule book (R-002)."""
    rules = _load(folder)
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
@_json_option
def lint_command(folder: Path, as_json: bool) -> None:  # noqa: FBT001
    """Look for faults: files that do not load, dead exceptions, rules without cases, cases that fail."""
    try:
        rules = load(folder)
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
                "findings": [finding.to_json() for finding in found],
            }
        )
    else:
        for finding in lint(rules, cases):
            click.echo(f"{finding.place}: {finding.rule}: {finding.detail}")
        for miss in check(rules, cases):
            click.echo(_in_german(miss))
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
@_json_option
@_lang_option
def diff_command(old: Path, new: Path, as_json: bool, lang: Lang) -> None:  # noqa: FBT001
    """Say what changed from the law in folder OLD to the law in folder NEW, rule by rule and case by case."""
    before, after = _load(old), _load(new)
    changes = differences(before, after, lang)
    cases = [case for file in sorted((new / "cases").glob("*.yaml")) for case in _cases(str(file))]
    flips = [line for case in cases if (line := _flip(before, after, case, lang))]
    if as_json:
        _print_json({"old": before.hash, "new": after.hash, "changes": changes, "cases": flips})
    else:
        for line in [*changes, *flips] or ["Keine Änderung." if lang == "de" else "No change."]:
            click.echo(line)
    sys.exit(FINDING if changes or flips else 0)


@law.command("export")
@click.option("--to", "target", type=click.Choice(["cedar"]), required=True, help="The language to write.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=None, help="A folder (default: standard output)."
)
@_law_option
def export_command(target: str, out: Path | None, folder: Path) -> None:
    """Write the rules for another engine: policies, one file for each file of rules, and their schema."""
    files = cedar.export(_load(folder))
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


def _in_german(miss: Mismatch) -> str:
    what, _, which = miss.what.partition(" ")
    expected, decided = (_RESULTS.get(value, value) for value in (miss.expected, miss.decided))
    return f"Fall {miss.case}: {_PARTS.get(what, what)} {which}".rstrip() + f": erwartet {expected}; jetzt {decided}"


_RESULTS = {"permit": "zulässig", "forbid": "nicht zulässig"}
_PARTS = {
    "decision": "Entscheidung",
    "category": "Datenart",
    "basis": "Rechtsgrundlage",
    "rule": "Regel",
    "exception": "Ausnahme",
    "obligation": "Pflicht",
    "missing": "Fehlendes",
    "form": "Form",
}


def _flip(before: RuleSet, after: RuleSet, case: Any, lang: Lang) -> str:
    try:
        was, now = (
            decide(rules, request_from_json(request_part(case), unnamed="no", ruleset=rules)).permitted
            for rules in (before, after)
        )
    except Invalid:
        return ""
    if was == now:
        return ""
    words = {"de": ("Fall {id}: bisher {a}, jetzt {b}", "zulässig", "nicht zulässig"),
             "en": ("Case {id}: so far {a}, now {b}", "lawful", "not lawful")}[lang]  # fmt: skip
    return words[0].format(id=case.get("id", "?"), a=words[1 if was else 2], b=words[1 if now else 2])


def _named(rules: RuleSet, name: str) -> list[Rule]:
    exact = list(rules.versions(name)) or [rule for rule in rules.rules if rule.source.endswith(name)]
    return exact or [rule for rule in rules.rules if covered(name, rule.norms)]


def _load(folder: Path) -> RuleSet:
    try:
        return present_law() if folder == LAW else load(folder)
    except LawError as error:
        _fail(str(error))


def _cases(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{file} cannot be read: {type(error).__name__}")
    try:
        return read_cases(text, file)
    except LawError as error:
        _fail(str(error))


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    raise SystemExit(USAGE)


if __name__ == "__main__":
    cast("Callable[[], None]", law)()
