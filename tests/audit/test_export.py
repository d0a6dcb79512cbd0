"""A bundle is exactly what was logged, an empty answer included, and goes to whoever asked and to nobody else."""

import json
from datetime import date
from itertools import pairwise

import pytest
import yaml

from services.audit.evidence import audit_log
from services.audit.queries import ReceiptView
from services.audit.reading_room import BundlePage, BundleQuestion, ExportLog, SearchLog
from services.audit.search import Wanted
from services.command.bundle_check import check_bundle
from shared.audit import Leaf
from shared.errors import Invalid, NotFound, Refused
from shared.merkle import NotProven
from shared.notes import Malformed, VerifierKey, log_verifier_key, sign_note
from shared.schema import dump, map_personal
from shared.witness import Policy
from tests.support.bundles import AUDITOR, Rulings, all_kinds, resealed, take_along
from tests.support.clock import FixedClock
from tests.support.local_platform import local_platform
from tests.support.receipts import ToyLog
from tests.support.shared_data import REPOSITORY
from tests.support.workplace import Workplace, fresh


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return all_kinds(tmp_path_factory.mktemp("bundles"))


def checked(bundle, data=None, keys=None):
    lines = (bundle.data if data is None else data).splitlines(keepends=True)
    return check_bundle(lines, [VerifierKey.parse(key) for key in keys or bundle.keys])


def refusal(bundle, data, keys=None):
    with pytest.raises((NotProven, Malformed)) as error:
        checked(bundle, data, keys)
    return error.value.code


@pytest.mark.parametrize(
    ("kind", "entries", "shown"),
    [
        ("subject", 6, {"subject", "openings", "rules", "reading"}),
        ("case", 5, {"case", "openings", "rules", "reading"}),
        ("nobody", 0, {"subject", "reading"}),
        ("day", 5, {"period", "rules", "reading"}),
        ("turn", None, {"period", "to_the_end", "rules", "reading"}),
        ("silence", 0, {"empty", "rules", "reading"}),
        ("before", 0, {"empty", "reading"}),
    ],
)
def test_every_kind_of_bundle_is_proven_and_says_how_much_it_holds(given, kind, entries, shown):
    report = checked(given[kind])
    assert set(report.shown) == shown
    assert report.values["entries"] == entries if entries is not None else report.values["entries"] > 10
    assert {"key_origin", "truth", "other_views", "signatures_of_others"} <= set(report.not_checked)


def test_what_an_answer_about_a_person_does_not_prove_is_said(given):
    for kind in ("subject", "case", "nobody"):
        assert "index" in checked(given[kind]).not_checked
    for kind in ("day", "turn", "silence", "before"):
        assert {"times", "no_openings"} <= set(checked(given[kind]).not_checked)


def test_a_period_tells_of_nobody_and_a_subject_opens_what_was_asked_for(given):
    assert "openings" not in "".join(given["turn"].lines[1:])
    opened = [set(json.loads(line)["openings"]) for line in given["subject"].lines[1:-2]]
    assert {"person", "case", "facts"} in opened
    assert all(names <= {"person", "case", "facts"} for names in opened)


def test_a_bundle_over_the_turn_of_the_year_names_the_key_of_each_log(given):
    assert len(given["turn"].keys) == 2
    with pytest.raises(NotProven) as error:
        checked(given["turn"], keys=given["turn"].keys[1:])
    assert error.value.code == "log.bundle_key"


def test_the_keys_of_another_log_prove_nothing(given):
    toy = ToyLog("handschlag.example/other/2026")
    for bundle in given.values():
        assert refusal(bundle, bundle.data, [toy.verifier_key]) == "log.bundle_key"


def without(lines, at):
    return resealed([line for number, line in enumerate(lines[:-1]) if number != at])


def test_no_entry_can_be_left_out_put_in_or_moved(given):
    for bundle in given.values():
        lines = [*bundle.lines]
        entries = [at for at, line in enumerate(lines) if '"leaf"' in line and at]
        for at in entries:
            assert refusal(bundle, without(lines, at)).startswith("log.")
            assert refusal(bundle, resealed([*lines[: at + 1], *lines[at:-1]])).startswith("log.")
        for one, two in pairwise(entries):
            moved = [*lines[:-1]]
            moved[one], moved[two] = moved[two], moved[one]
            assert refusal(bundle, resealed(moved)).startswith("log.")


def test_a_bundle_that_is_cut_or_goes_on_is_noticed(given):
    for bundle in given.values():
        for at in range(len(bundle.lines)):
            assert refusal(bundle, "".join(f"{line}\n" for line in bundle.lines[:at]).encode()) == "log.bundle"
        assert refusal(bundle, bundle.data + b"{}\n") == "log.bundle"
        assert refusal(bundle, bundle.data[:-1]) == "log.bundle"


def test_an_answer_of_one_person_cannot_be_passed_off_as_that_of_another(given):
    subject, nobody = given["subject"], given["nobody"]
    assert refusal(subject, resealed([nobody.lines[0], *subject.lines[1:-1]])) == "log.bundle_reading"
    assert refusal(subject, resealed([given["case"].lines[0], *subject.lines[1:-1]])) == "log.bundle_reading"
    assert refusal(nobody, resealed([subject.lines[0]])) == "log.bundle_entries"
    assert refusal(given["day"], resealed([given["silence"].lines[0], *given["day"].lines[1:-1]])) in {
        "log.bundle_entries",
        "log.entry_missing",
        "log.root_differs",
    }


def test_the_rules_that_decided_are_enclosed_and_cannot_be_others(given):
    for kind in ("subject", "turn"):
        bundle = given[kind]
        at = next(
            number for number, line in enumerate(bundle.lines) if line.startswith('{"rule_set"') or '"rules"' in line
        )
        assert "no_rules" in checked(bundle, without(bundle.lines, at)).not_checked
        changed = [*bundle.lines[:-1]]
        changed[at] = changed[at].replace("SGB", "SBG", 1)
        assert refusal(bundle, resealed(changed)) == "log.bundle_rules"


def test_a_policy_says_how_many_heads_its_witnesses_cosigned(given):
    bundle = given["day"]
    witness = VerifierKey("dpo.example", ToyLog().key.public_key().public_bytes_raw(), 4)
    policy = Policy.parse(f"witness dpo {witness}\nquorum dpo\n")
    keys = [VerifierKey.parse(key) for key in bundle.keys]
    report = check_bundle(bundle.data.splitlines(keepends=True), keys, policy)
    assert (report.values["witnessed"], report.values["heads"] > 0) == (0, True)
    assert "signatures_of_others" not in report.not_checked


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with local_platform(tmp_path_factory.mktemp("platform"), clock=FixedClock()) as running:
        yield running


@pytest.fixture
def at(platform):
    return Rulings(Workplace.of(platform))


def ask(at, method, question, answer, actor=AUDITOR):
    return at.at.platform.ask("audit", method, question, answer, agency=at.at.agency, role="auditor", actor=actor)


def begin(at, **asked):
    export = ExportLog(export_id=fresh("export"), **{"reason": "Beschwerde 7/26", **asked})
    ask(at, "export", export, ReceiptView)
    return export.export_id


def lines_of(at, export_id, **more):
    return ask(at, "bundle", BundleQuestion(export_id=export_id), BundlePage, **more).lines


def test_the_export_is_an_entry_before_anything_is_shown(at):
    person = fresh("person")
    at.ruled("benefit_data", person_id=person)
    begin(at, what="subject", person_id=person)
    last = at.at.leaves()[-1]
    assert (last["kind"], last["details"]) == ("log_read", {"role": "auditor", "way": "export"})
    assert {"by", "person", "query", "reason"} == set(last["commitments"])


def test_only_whoever_began_an_export_can_read_it_and_for_a_day(at, platform):
    export_id = begin(at, what="subject", person_id=fresh("person"))
    assert lines_of(at, export_id)
    with pytest.raises(NotFound):
        lines_of(at, export_id, actor="somebody else")
    with pytest.raises(NotFound):
        lines_of(at, fresh("export"))
    clock = platform.contexts["audit"].clock
    clock.move(hours=25)
    with pytest.raises(Refused) as over:
        lines_of(at, export_id)
    assert over.value.code == "log.reading_over"


def test_another_agency_gets_nothing_of_it(at, platform):
    person = fresh("person")
    at.ruled("benefit_data", person_id=person)
    other = Rulings(Workplace.of(platform))
    other.ruled("benefit_data")
    lines = take_along(platform, other.at.agency, {"what": "subject", "person_id": person})
    assert len(lines) == 2
    with pytest.raises(NotFound):
        lines_of(other, begin(at, what="subject", person_id=person))


def test_what_comes_later_does_not_change_a_bundle_that_was_begun(at):
    person = fresh("person")
    asked = at.ruled("benefit_data", person_id=person)
    export_id = begin(at, what="subject", person_id=person)
    before = lines_of(at, export_id)
    at.went(asked, "handed_over")
    at.ruled("benefit_data", person_id=person)
    assert lines_of(at, export_id) == before


def test_after_an_erasure_the_bundle_is_not_given_out_any_more(at, platform):
    person = fresh("person")
    at.ruled("benefit_data", person_id=person)
    export_id = begin(at, what="subject", person_id=person)
    audit_log(platform.contexts["audit"]).forget(at.at.agency, person)
    with pytest.raises(Refused) as changed:
        lines_of(at, export_id)
    assert changed.value.code == "log.export_changed"


def test_entries_whose_person_was_erased_are_in_a_period_and_open_nothing(at, platform):
    person = fresh("person")
    at.ruled("benefit_data", person_id=person)
    audit_log(platform.contexts["audit"]).forget(at.at.agency, person)
    assert len(take_along(platform, at.at.agency, {"what": "subject", "person_id": person})) == 2
    day = platform.contexts["audit"].clock.today()
    lines = take_along(platform, at.at.agency, {"what": "period", "first_day": day, "last_day": day})
    kinds = [Leaf.parse(json.loads(line)["leaf"].encode()).kind for line in lines if line.startswith('{"index"')]
    assert (kinds[0], "intent" in kinds) == ("year_opened", True)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"what": "everything"}, "/what"),
        ({"what": "subject"}, "/person_id"),
        ({"what": "subject", "person_id": "p", "first_day": date(2026, 1, 1)}, "/first_day"),
        ({"what": "case", "person_id": "p"}, "/case_id"),
        ({"what": "period", "first_day": date(2026, 1, 2), "last_day": date(2026, 1, 1)}, "/last_day"),
        ({"what": "subject", "person_id": "p", "open": ("name",)}, "/open"),
        ({"what": "subject", "person_id": "p", "reason": " "}, "/reason"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_field_and_leaves_no_entry(at, asked, field):
    before = at.at.leaves()
    with pytest.raises(Invalid) as refused:
        begin(at, **asked)
    assert field in [problem.pointer for problem in refused.value.problems]
    assert at.at.leaves() == before


@pytest.mark.parametrize("after", ["x", "1", "1." + "0" * 63, "99999." + "0" * 64])
def test_a_place_that_is_not_in_the_bundle_is_refused(at, after):
    export_id = begin(at, what="subject", person_id=fresh("person"))
    with pytest.raises(Invalid) as refused:
        ask(at, "bundle", BundleQuestion(export_id=export_id, after=after), BundlePage)
    assert [problem.pointer for problem in refused.value.problems] == ["/after"]


def test_only_the_gateway_may_ask_for_a_search_or_an_export():
    allowed = yaml.safe_load((REPOSITORY / "contracts/calls.yaml").read_text(encoding="utf-8"))
    for method in ("search", "found", "export", "bundle"):
        assert [caller for caller, callees in allowed.items() if method in callees.get("audit", [])] == ["gateway"]


def test_a_log_signed_by_somebody_else_under_the_same_name_is_not_proven(given):
    bundle = given["day"]
    thief = ToyLog()
    at = next(number for number, line in enumerate(bundle.lines) if '"checkpoint"' in line)
    part = json.loads(bundle.lines[at])
    text = part["checkpoint"].rpartition("\n\n")[0] + "\n"
    part["checkpoint"] = sign_note(text, (part["log"], thief.key))
    changed = [*bundle.lines[:-1]]
    changed[at] = json.dumps(part, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert refusal(bundle, resealed(changed)) == "log.no_known_signature"
    assert log_verifier_key(part["log"], thief.key.public_key()) not in bundle.keys


def test_reasons_and_lines_travel_sealed():
    export = ExportLog(export_id="e-1", what="subject", person_id="p-1", reason="Beschwerde 7/26")
    search = SearchLog(search_id="s-1", wanted=Wanted(person_id="p-1"), reason="Beschwerde 7/26")
    page = BundlePage(export_id="e-1", lines=("{}",), next=None, total=1)
    for said, personal in ((export, "/reason"), (search, "/reason"), (page, "/lines")):
        sealed = dict[str, str]()
        map_personal(type(said), dump(said), lambda item, owner, at, into=sealed: into.setdefault(at, owner) and item)
        assert list(sealed) == [personal]
