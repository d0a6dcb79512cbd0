import json
import shutil

import pytest
from click.testing import CliRunner

from services.command.law import law
from shared.policy.request import LAW

REQUEST = {
    "date": "2026-07-06",
    "sender": {"body": "jobcenter"},
    "recipient": {"body": "pension_insurer"},
    "categories": ["benefit_data"],
    "purpose": "application_forwarding",
    "facts": {"necessary": True},
}


def run(*arguments, text=None):
    return CliRunner().invoke(law, list(arguments), input=text)


def decision(*arguments, text):
    """`permit` or `forbid`, from an answer that counts as one."""
    result = run("decide", *arguments, text=text)
    assert result.exit_code == 0
    return json.loads(result.output)["decision"]


def test_a_lawful_request_is_answered_in_words():
    result = run("decide", "--unnamed", "no", "--audience", "case_worker", text=json.dumps(REQUEST))
    assert result.exit_code == 0
    assert result.output.startswith("Die Übermittlung ist zulässig. Grundlage: § 69 Abs. 1 Nr. 1 SGB X.\n")
    assert "§ 69 Abs. 1 Nr. 1 SGB X" in result.output
    assert "noch nicht juristisch geprüft" in result.output


def test_a_request_from_outside_treats_silence_as_unknown():
    assert decision("--json", text=json.dumps(REQUEST)) == "forbid"


def test_a_request_may_be_yaml():
    text = "date: 2026-07-06\n" + "\n".join(f"{k}: {json.dumps(v)}" for k, v in REQUEST.items() if k != "date")
    assert decision("-", "--unnamed", "no", text=text) == "permit"


def test_a_request_that_is_not_understood_is_wrong_use():
    result = run("decide", text=json.dumps({**REQUEST, "purpose": "curiosity"}))
    assert result.exit_code == 2
    assert "/purpose: unknown purpose 'curiosity'" in result.output


def test_duties_without_code_refuse():
    text = json.dumps(REQUEST)
    assert decision("--unnamed", "no", "--installed", "minimise", text=text) == "forbid"
    everything = "log_disclosure,purpose_binding_recipient,inform_about_recipients"
    assert decision("--unnamed", "no", "--installed", everything, text=text) == "permit"


def test_the_recipient_of_a_refusal_reads_the_same_words_whatever_the_reason():
    answers = {
        run("decide", "--audience", "recipient", text=json.dumps({**REQUEST, "categories": [category]})).output
        for category in ("benefit_data", "medical_report_76", "full_case_file")
    }
    assert answers == {"Es werden keine Daten übermittelt.\n"}


def test_an_auditor_reads_every_rule_in_english_or_german():
    text = json.dumps(REQUEST)
    result = run("decide", "--audience", "auditor", "--lang", "en", text=text)
    assert "Applicable rules:" in result.output
    assert "Benefit data: not lawful" in result.output
    assert run("decide", "--audience", "auditor", "--json", text=text).exit_code == 2
    assert "sgb10-69-1-1 (§ 69 Abs. 1 Nr. 1 SGB X, permit): yes" in result.output


def test_each_line_of_json_gets_one_decision_on_one_line():
    lines = [REQUEST, {**REQUEST, "id": "B", "facts": {}}, {**REQUEST, "id": "C", "expected": "permit"}]
    result = run("decide", text="\n".join(json.dumps(line) for line in lines) + "\n\n")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["id"], answer["permitted"]) for answer in answers] == [("#1", False), ("B", False), ("C", True)]
    assert result.exit_code == 0


def test_a_line_that_is_not_understood_is_answered_with_what_is_wrong_and_the_others_are_decided():
    wrong = {key: value for key, value in REQUEST.items() if key != "date"}
    result = run("decide", "--unnamed", "no", text="\n".join(json.dumps(line) for line in (wrong, REQUEST)))
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["problems"][0] == {
        "pointer": "/date",
        "detail": "the date is missing",
        "remedy": "Send a day such as 2026-07-01.",
    }
    assert second["permitted"]
    assert result.exit_code == 2


def test_a_broken_line_is_named():
    result = run("decide", text=json.dumps(REQUEST) + "\n{")
    assert result.exit_code == 2
    assert "-:2: not JSON" in result.output


def test_a_case_file_is_decided_case_by_case(tmp_path):
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": [{**REQUEST, "id": "A", "description_de": "wie erzählt"}] * 2}))
    result = run("decide", str(file))
    assert result.exit_code == 0
    assert [json.loads(line)["id"] for line in result.output.splitlines()] == ["A", "A"]


def test_check_reports_mismatches_and_says_so(tmp_path):
    file = tmp_path / "cases.json"
    file.write_text(json.dumps([{**REQUEST, "id": "A", "expected": "forbid"}]))
    result = run("check", str(file), "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["cases"] == 1
    assert report["mismatches"][0]["case"] == "A"
    assert run("check", str(LAW / "cases" / "kkg.yaml")).exit_code == 0


def test_check_without_a_readable_file_is_wrong_use(tmp_path):
    assert run("check").exit_code == 2
    assert run("check", str(tmp_path / "nothing.yaml")).exit_code == 2


@pytest.mark.parametrize("name", ["sgb10-76-1", "R-002", "§ 76 Abs. 1 SGB X"])
def test_a_rule_is_explained_by_id_number_or_norm(name):
    result = run("explain", name)
    assert result.exit_code == 0
    assert "Geheimnisträger" in result.output
    assert "Außer:" in result.output
    assert json.loads(run("explain", name, "--json", "--lang", "en").output)[0]["norm"] == "§ 76 Abs. 1 SGB X"


def test_an_unknown_rule_is_wrong_use():
    result = run("explain", "sgb10-76")
    assert result.exit_code == 2
    assert "sgb10-76-1" in result.output


def test_the_delivered_law_is_without_findings():
    result = run("lint", "--json")
    assert result.exit_code == 0
    report = json.loads(result.output)
    assert report["findings"] == []
    assert report["rules"] >= 86


@pytest.fixture
def changed(tmp_path):
    folder = tmp_path / "law"
    shutil.copytree(LAW, folder)
    return folder


def replace_in(folder, file, old, new):
    path = folder / "rules" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_law_that_does_not_load_is_a_finding_of_lint_and_wrong_use_elsewhere(changed):
    replace_in(changed, "kkg.yaml", "staff_is_kkg_person", "weather")
    result = run("lint", "--law", str(changed))
    assert result.exit_code == 1
    assert "rules/kkg.yaml:" in result.output
    assert "unknown fact 'weather'" in result.output
    assert run("check", str(LAW / "cases" / "kkg.yaml"), "--law", str(changed)).exit_code == 2


def test_a_change_of_law_is_told_rule_by_rule_and_case_by_case(changed):
    assert run("diff", str(LAW), str(LAW)).exit_code == 0
    replace_in(changed, "sgb2.yaml", "valid_until: 2026-07-01", "valid_until: 2027-01-01")
    result = run("diff", str(LAW), str(changed))
    assert result.exit_code == 1
    assert "Geänderte Regel sgb2-15a-1 (§ 15a Abs. 1 SGB II" in result.output
    assert "+ Gilt: ab 2023-07-01 bis vor 2027-01-01" in result.output
    assert "Fall SGB2-026: bisher nicht zulässig, jetzt zulässig" in result.output


def test_whoever_changes_one_date_in_one_file_is_told_what_it_means(changed):
    """Lint, diff and check without a line of Python, as contracts/law/README.md walks through it."""
    replace_in(changed, "sgb2.yaml", "valid_until: 2026-07-01", "valid_until: 2027-01-01")
    linted = run("lint", "--law", str(changed))
    assert linted.exit_code == 1
    assert "Fall SGB2-026: Entscheidung: erwartet nicht zulässig; jetzt zulässig" in linted.output
    compared = run("diff", str(LAW), str(changed)).output
    for line in (
        "Geänderte Regel sgb2-15a-1 (§ 15a Abs. 1 SGB II (Fassung ab 1.7.2023))",
        "Betrifft 3 Felder (Absender | Empfänger | Datenart | Zweck): Jobcenter",
        "Stammdaten; Kontaktdaten; Kooperationsplan (Auszug) | Schlichtung",
        "Hinzu kommt: ab 2026-07-01 bis vor 2027-01-01",
    ):
        assert line in compared
    assert compared.count("Geänderte Regel") == 1
    checked = run("check", "--law", str(changed), str(changed / "cases" / "sgb2.yaml"))
    assert checked.exit_code == 1
    assert "SGB2-026: Entscheidung: erwartet nicht zulässig; jetzt zulässig" in checked.output


def test_the_readme_shows_what_the_commands_really_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(LAW, "neu")
    replace_in(tmp_path / "neu", "sgb2.yaml", "valid_until: 2026-07-01", "valid_until: 2027-01-01")
    sentences = (LAW / "invariants.yaml").read_text(encoding="utf-8").split("\n\n")
    ended = next(text for text in sentences if "- id: arbitration-has-ended" in text)
    (tmp_path / "neu" / "invariants.yaml").write_text(ended, encoding="utf-8")
    said = [
        run("lint", "--law", "neu").output,
        run("diff", str(LAW), "neu").output,
        run("check", "--law", "neu", "neu/cases/sgb2.yaml").output,
        run("prove", "--law", "neu").output,
    ]
    text = (LAW / "README.md").read_text(encoding="utf-8").split("### Ein Beispiel")[1]
    blocks = [block.strip("\n").splitlines() for block in text.split("```")[1::2]]
    assert blocks[0] == ["cp -r contracts/law neu"]
    for block, output in zip(blocks[1:], said, strict=True):
        assert set(block) <= set(output.splitlines())


def test_a_moved_first_day_and_a_wider_scope_are_told_as_such(changed):
    replace_in(changed, "kkg.yaml", "valid_from: 2021-06-10", "valid_from: 2021-07-01")
    replace_in(changed, "sgb2.yaml", "  to: [arbitrator]", "  to: [arbitrator, employer]")
    output = run("diff", str(LAW), str(changed)).output
    assert "Es entfällt: ab 2021-06-10 bis vor 2021-07-01" in output
    assert "Hinzu kommt: Arbeitgeber" in output
    assert "Betrifft 6 Felder" in output
    assert "Added: Employer" in run("diff", str(LAW), str(changed), "--lang", "en").output


def test_the_law_is_written_for_cedar_to_a_folder_or_to_the_terminal(tmp_path):
    result = run("export", "--to", "cedar", "--out", str(tmp_path / "cedar"))
    assert result.exit_code == 0
    names = {file.name for file in (tmp_path / "cedar").iterdir()}
    assert names == {"law.cedarschema", *(file.name.replace(".yaml", ".cedar") for file in (LAW / "rules").iterdir())}
    printed = run("export", "--to", "cedar").output
    assert printed.count("\npermit (principal") + printed.count("\nforbid (principal") == printed.count('@id("')
    assert '@norm("§ 4 Abs. 1, 3 KKG")' in printed
    (tmp_path / "file").write_text("")
    assert run("export", "--to", "cedar", "--out", str(tmp_path / "file" / "x")).exit_code == 2
    assert run("export", "--to", "rego").exit_code == 2


def test_a_stored_law_decides_an_old_case_again_to_the_same_bytes(tmp_path, changed):
    """Stored today, the law of today still answers after the rules have changed."""
    request = tmp_path / "request.json"
    arbitration = {"recipient": {"body": "arbitrator"}, "categories": ["cooperation_plan"], "purpose": "arbitration"}
    facts = {"necessary": True, "arbitration_requested": True}
    request.write_text(json.dumps({**REQUEST, **arbitration, "facts": facts}))
    ask = ("decide", "--unnamed", "no", str(request))
    before = run(*ask)
    assert run("export", "--to", "json", "--out", str(tmp_path / "kept")).exit_code == 0
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.stem.removeprefix("law-") == json.loads(before.output)["rule_set"]
    replace_in(changed, "sgb2.yaml", "valid_until: 2026-07-01", "valid_until: 2027-01-01")
    assert run(*ask, "--law", str(changed)).output != before.output
    assert run(*ask, "--law", str(kept)).output == before.output
    other = run(*ask, "--law", str(kept), "--reading", "f-24=transitional")
    assert json.loads(other.output)["permitted"]
    kept.write_text('{"rules": 1}')
    assert run(*ask, "--law", str(kept)).exit_code == 2


def test_the_sentences_about_a_changed_law_are_proved_or_refuted(changed):
    short = changed / "invariants.yaml"
    text = short.read_text(encoding="utf-8")
    start = text.index("- id: arbitration-has-ended")
    short.write_text(text[start : text.index("- id: a-private-requester")], encoding="utf-8")
    assert run("prove", "--law", str(changed)).output.rstrip().endswith("bewiesen")
    replace_in(changed, "sgb2.yaml", "valid_until: 2026-07-01", "valid_until: 2027-01-01")
    result = run("prove", "--law", str(changed))
    assert result.exit_code == 1
    assert "widerlegt durch 2026-07-01 jobcenter > arbitrator" in result.output
