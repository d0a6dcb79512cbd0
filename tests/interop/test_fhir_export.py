"""Consents of ours as FHIR R4: parsed by the R4B models, closed to whoever reads only the standard, and read back."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.consent import Consent as FhirConsent

from services.consent.domain.consent import Status
from services.consent.domain.terms import Form, Giver, Proof, Terms
from services.consent.domain.use_limit import Period, UseLimit
from services.consent.interchange.documents import resources, to_xml
from services.consent.interchange.reading import read_consent
from services.consent.interchange.translation import Directory, translate
from services.consent.interchange.writing import bundle, consent_resource
from services.consent.queries import ConsentView
from shared.domain import Json
from tests.consent.examples import LAST_DAY, TODAY, TOMORROW, terms
from tests.interop.conftest import Desk
from tests.interop.consents import FILES, NAMES, consent, provision, written

ROOT = Path(__file__).resolve().parents[2]
PARTNERS = Directory(persons={"urn:handschlag:person|p-1": "p-1"}, recipients={"urn:handschlag:partner|drv": "drv"})
LIMITED = UseLimit(times=3, per=Period.WEEK, data_from=date(2025, 1, 1), data_until=LAST_DAY, erase_at=LAST_DAY)


def view(said: Terms | None = None, status: Status = Status.GIVEN, **changed: Any) -> ConsentView:
    usual: Json = {
        "consent_id": "c-1",
        "terms": said or terms(),
        "status": status,
        "given_on": None if status is Status.REFUSED else TODAY,
        "withdrawn_on": TOMORROW if status is Status.WITHDRAWN else None,
        "refused_on": TODAY if status is Status.REFUSED else None,
        "paused_on": TODAY if status is Status.PAUSED else None,
        "version": 1,
    }
    return ConsentView(**(usual | changed))


CASES = {
    "given": terms(),
    "without an end": terms(valid_until=None),
    "several categories": terms(categories=("coaching_content", "contact_data", "benefit_data")),
    "orally": terms(form=Form.ORAL_DOCUMENTED),
    "by the one who entrusted it": terms(given_by=(Giver.ENTRUSTING_PERSON,), categories=("entrusted_youth_data_65",)),
    "limited": terms(use=LIMITED),
    "not informed": terms(information=replace(terms().information, purpose=False)),
    "with a plain text": terms(information=replace(terms().information, plain_text="leicht-1")),
    "not voluntary": terms(voluntary=False),
    "with proof": terms(proof=Proof(document="d-1", explained_by="weber", explained_on=TODAY)),
}


def back(made: Json) -> list[Terms]:
    """The same consents read by an installation that knows person and partner."""
    found = translate(read_consent(made), PARTNERS, person_id="p-1", proof="i-1", today=TODAY, named=lambda cell: cell)
    return list((found.give or found.refuse).values())


@pytest.mark.parametrize("name", CASES)
def test_a_consent_of_ours_goes_out_and_comes_back_with_the_same_content(name: str) -> None:
    said = CASES[name]
    found = back(consent_resource(view(said), "jobcenter"))
    assert {category for each in found for category in each.categories} == set(said.categories)
    for each in found:
        expected = replace(said, categories=each.categories, proof=Proof(document="i-1", explained_on=TODAY))
        assert each == expected


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("name", CASES)
def test_every_consent_of_ours_is_fhir_in_json_and_xml(name: str, status: Status) -> None:
    made = consent_resource(view(CASES[name], status), "jobcenter")
    parsed = FhirConsent.model_validate(made)
    assert json.loads(parsed.model_dump_json(exclude_none=True)) == made
    (again,) = resources(to_xml(made))
    assert again.content == made


@pytest.mark.parametrize("status", Status)
def test_only_what_stands_is_active_and_only_a_yes_permits(status: Status) -> None:
    made = consent_resource(view(status=status), "jobcenter")
    assert (made["status"] == "active") == (status in (Status.GIVEN, Status.NOT_YET))
    (inner,) = made["provision"]["provision"]
    assert made["provision"]["type"] == "deny"
    assert (inner["type"] == "permit") == (status is not Status.REFUSED)
    found = read_consent(made)
    taken = translate(found, PARTNERS, person_id="p-1", proof="i", today=TODAY, named=lambda cell: cell)
    assert bool(taken.give) == (made["status"] == "active")
    assert bool(taken.refuse) == (status is Status.REFUSED)


def test_a_refusal_goes_out_and_comes_back_as_a_refusal() -> None:
    (found,) = back(consent_resource(view(status=Status.REFUSED), "jobcenter"))
    assert (found.recipient, found.categories, found.purpose) == ("drv", ("coaching_content",), "referral")


def test_no_name_leaves_and_no_id_of_the_inside_that_says_who_explained_it() -> None:
    made = json.dumps(consent_resource(view(CASES["with proof"]), "jobcenter"))
    assert "weber" not in made
    assert "display" not in made


def test_uses_that_are_gone_are_gone_elsewhere_too() -> None:
    made = consent_resource(view(terms(use=UseLimit(times=3)), uses=2, uses_left=1), "jobcenter")
    (found,) = back(made)
    assert found.use == UseLimit(times=1)


def test_a_representation_elsewhere_gives_nothing_here() -> None:
    spoken_for = terms(given_by=(Giver.LEGAL_GUARDIAN,), representation_id="r-1")
    (found,) = back(consent_resource(view(spoken_for), "jobcenter"))
    assert found.representation_id is None
    assert [code for code, *_ in found.faults(TODAY)] == ["consent.not_represented"]


def test_the_words_of_another_version_of_ours_are_not_guessed() -> None:
    made = consent_resource(view(), "jobcenter")
    made["extension"][0]["extension"].append({"url": "condition", "valueString": "only on Mondays"})
    assert not back(made)


@pytest.mark.parametrize("name", NAMES)
def test_what_came_from_elsewhere_goes_out_again_as_it_came_with_all_that_was_understood(desk: Desk, name: str) -> None:
    from services.consent.interchange.importing import original

    (found,) = resources((FILES / name).read_bytes())
    assert found.content is not None
    looked, _ = desk.importing.looked_at([found])
    taken = desk.importing.take(looked[0], desk.store, desk.database)
    assert desk.imported(taken.import_id).original == (FILES / name).read_text("utf-8-sig")
    kept = original(desk.imported(taken.import_id))
    assert kept == found.content
    (again,) = resources(json.dumps(bundle([kept])).encode())
    assert again.content is not None
    assert read_consent(again.content) == taken.reading
    named = json.loads(str(desk.imported(taken.import_id).report))
    assert {gap["path"] for gap in named} == {gap.path for gap in taken.wanted.gaps}
    (through_xml,) = resources(to_xml(bundle([kept])))
    assert through_xml.content is not None
    assert read_consent(through_xml.content) == taken.reading


def test_a_bundle_is_fhir() -> None:
    made = bundle([consent_resource(view(), "jobcenter"), consent_resource(view(consent_id="c-2"), "jobcenter")])
    assert len(Bundle.model_validate(made).entry or ()) == 2
    assert Bundle.model_validate(bundle([])).type == "collection"


class Installation:
    """A state folder of its own, on SQLite."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HANDSCHLAG_")}
        self.environment = {**ours, "HANDSCHLAG_STATE": str(self.state)}

    def run(self, *command: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "services.command", *command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done


DIRECTORY = """\
persons: {Patient/1: 11111111-1111-4111-8111-111111111111}
recipients: {Organization/drv: drv}
texts:
  https://klinik.example/einwilligung/3:
    form: written
    voluntary: true
    given_by: [data_subject]
    information:
      {text_version: "3", language: de, purpose: true, consequences_of_refusal: true, right_to_withdraw: true}
"""


def test_the_command_takes_files_over_once_and_gives_a_person_their_consents(tmp_path: Path) -> None:
    here, directory = Installation(tmp_path), tmp_path / "directory.yaml"
    directory.write_text(DIRECTORY, "utf-8")
    file = written(tmp_path, consent(provision(), dateTime="2020-01-01"))
    foreign = [str(FILES / name) for name in NAMES[:2]]
    asked = ["import", "consents", "--format", "fhir", "--directory", str(directory), "--json"]
    dry = json.loads(here.run(*asked, "--dry-run", str(file)).stdout)
    assert (dry["given"], here.state.exists()) == (1, False)
    first = json.loads(here.run(*asked, str(file), *foreign, code=1).stdout)
    assert (first["consents"], first["given"], first["known_before"]) == (3, 1, 0)
    assert [len(each["consents"]) for each in first["files"]] == [1, 1, 1]
    again = json.loads(here.run(*asked, str(file)).stdout)
    assert (again["given"], again["known_before"]) == (1, 1)
    here.run("migrate")
    who = "11111111-1111-4111-8111-111111111111"
    for form in ("json", "xml"):
        output = tmp_path / f"out.{form}"
        explained = ["--agency", "jobcenter-demo", "--by", "weber", "--reason", "Antrag nach Art. 20 DSGVO"]
        told = here.run(
            "export", "consents", who, *explained, "--originals", "--format", form, "--json", "-o", str(output)
        )
        assert json.loads(told.stdout)["consents"] == 2
        assert "#" in json.loads(told.stdout)["entry"]
        ours, theirs = resources(output.read_bytes())
        assert ours.content is not None
        assert ours.content["provision"]["provision"][0]["code"][0]["coding"][0]["code"] == "rehab_discharge_report"
        assert theirs.content == json.loads(file.read_text("utf-8"))
        assert oct(output.stat().st_mode & 0o777) == "0o600"


def test_a_file_that_is_none_is_named_and_leaves_the_others_alone(tmp_path: Path) -> None:
    here, bad = Installation(tmp_path), tmp_path / "bad.xml"
    bad.write_text("<!DOCTYPE x><Consent/>", "utf-8")
    good = written(tmp_path, consent(provision()))
    told = json.loads(here.run("import", "consents", "--json", "--dry-run", str(bad), str(good), code=1).stdout)
    assert [[fault["code"] for fault in each["faults"]] for each in told["files"]] == [["import.document_type"], []]
    assert len(told["files"][1]["consents"]) == 1


def test_a_directory_with_a_faulty_field_is_refused_whole(tmp_path: Path) -> None:
    here, directory = Installation(tmp_path), tmp_path / "directory.yaml"
    directory.write_text("people: {}", "utf-8")
    file = written(tmp_path, consent(provision()))
    done = here.run("import", "consents", "--directory", str(directory), "--dry-run", str(file), code=2)
    assert "/people" in done.stderr


def test_the_course_of_a_consent_is_told_beside_the_standard() -> None:
    told = consent_resource(view(status=Status.PAUSED), "jobcenter")["extension"][1]["extension"]
    assert {"url": "status", "valueString": "paused"} in told
    assert {"url": "paused_on", "valueString": TODAY.isoformat()} in told
