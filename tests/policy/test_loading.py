import pytest

from shared.policy import LawError, load, present_law, restore
from shared.policy.loading import build
from shared.policy.reading import read
from tests.policy.small_law import DEFAULT, READINGS, VERSIONS, VOCABULARY, documents, rule


def flaws(*rules, **parts):
    with pytest.raises(LawError) as refused:
        build(documents(*rules, **parts))
    return refused.value


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"norm": ""}, "'norm' is missing"),
        ({"norm": "somewhere"}, "'somewhere' is not a citation"),
        ({"effect": "allow"}, "'allow' is no effect"),
        ({"from_": "[bank]"}, "unknown word 'bank' in 'from'"),
        ({"to": '["@banks"]'}, "unknown word '@banks' in 'to'"),
        ({"to": "[any, -any]"}, "'to' names nothing"),
        ({"categories": "[secrets]"}, "unknown word 'secrets' in 'categories'"),
        ({"purposes": "[curiosity]"}, "unknown word 'curiosity' in 'purposes'"),
        ({"when": "{fact: weather, is: true}"}, "unknown fact 'weather'"),
        ({"when": "{fact: age, is: true}"}, "'age' is a number"),
        ({"when": "{fact: necessary}"}, "a condition with fact is not understood"),
        ({"when": "{any: []}"}, "a condition with any is not understood"),
        ({"when": "{rule: nowhere}"}, "refers to unknown 'nowhere'"),
        ({"when": "{rule: r}"}, "a cycle"),
        ({"obligations": "[dance]"}, "unknown obligation 'dance'"),
        ({"unless": "[{when: {all: []}}]"}, "the exception cites no norm"),
        ({"unless": '[{norm: "§ 34 StGB"}]'}, "the exception has no condition"),
        ({"unless": '[{norm: "§ 34 StGB", when: {all: []}, why: so}]'}, "unknown key 'why'"),
        ({"title": "{de: nur deutsch}"}, "'title' is not given in both languages"),
        ({"valid_from": '"2020-01-01"'}, "'2020-01-01' is not a day"),
        ({"valid_until": "2018-05-25"}, "the rule ends before it begins"),
        ({"certainty": "[sure]"}, "'sure' is no mark"),
        ({"default": "true"}, "only a forbid can be the default"),
        ({"reading": "{question: f-9, is: cautious}"}, "unknown open question 'f-9'"),
        ({"reading": "{question: f-1, is: mild}"}, "'f-1' has no reading 'mild'"),
        ({"reading": "f-1"}, "a reading is not understood"),
        ({"unless": '[{norm: "§ 34 StGB", when: {all: []}, reading: {question: f-9, is: bold}}]'}, "'f-9'"),
    ],
)
def test_a_flaw_is_named_with_file_line_and_remedy(change, detail):
    error = flaws(DEFAULT, rule("r", **change))
    assert any(detail in flaw.detail for flaw in error.flaws), str(error)
    first = error.flaws[0]
    assert first.file == "rules/test.yaml"
    assert first.line > DEFAULT.strip().count("\n")
    assert first.remedy.endswith(".")
    assert (error.file, error.line, error.detail, error.remedy) == first
    assert str(error).startswith(f"rules/test.yaml:{first.line}: ")


def test_the_line_is_that_of_the_faulty_word():
    text = rule("r", when="{fact: weather, is: true}")
    line = 1 + next(i for i, part in enumerate(text.splitlines()) if "weather" in part)
    assert flaws(text).line == line


def test_every_flaw_is_named_at_once():
    assert len(flaws(rule("a", purposes="[x]"), rule("b", purposes="[y]")).flaws) == 2


@pytest.mark.parametrize(
    ("first", "second", "detail"),
    [
        ({}, {}, "duplicate id 'r'"),
        ({}, {"valid_from": "2020-01-01"}, "overlap"),
        ({"valid_until": "2020-01-02"}, {"valid_from": "2020-01-01"}, "overlap"),
        ({"valid_until": "2019-12-31"}, {"valid_from": "2020-01-01"}, "a gap"),
    ],
)
def test_versions_of_a_rule_follow_each_other_without_gap_or_overlap(first, second, detail):
    one = rule("r", **first)
    error = flaws(one, rule("r", **second))
    assert detail in error.detail
    assert (error.file, error.line) == ("rules/test.yaml", one.count("\n") + 1)
    assert error.remedy.endswith(".")


def test_rules_may_not_refer_to_each_other_in_a_circle():
    error = flaws(rule("a", when="{rule: b}"), rule("b", when="{rule: c}"), rule("c", when="{rule: a}"))
    assert [flaw.detail.split("'")[1] for flaw in error.flaws] == ["a", "b", "c"]
    lines = [rule("a", when="{rule: b}").count("\n") * times + 1 for times in range(3)]
    assert [(flaw.file, flaw.line) for flaw in error.flaws] == [("rules/test.yaml", line) for line in lines]
    assert {flaw.remedy for flaw in error.flaws} == {"Remove one of the references."}


def test_a_rule_may_not_refer_to_the_default():
    assert "refers to the default rule" in flaws(DEFAULT, rule("r", when="{rule: default}")).detail


@pytest.mark.parametrize("word", ["yes", "no", "on", "True"])
def test_truth_is_written_true_or_false(word):
    assert "is read as a truth value" in flaws(rule("r", when=f"{{fact: necessary, is: {word}}}")).detail


def test_a_key_that_stands_twice_is_an_error():
    assert "'effect' stands twice" in flaws(rule("r") + "  effect: forbid\n").detail


def test_text_that_is_no_yaml_is_named_with_its_line():
    with pytest.raises(LawError) as refused:
        read("a: [1,\nb: 2}", "x.yaml")
    assert refused.value.file == "x.yaml"
    assert refused.value.line == 2


def test_numbers_with_a_point_have_no_place_in_the_law():
    assert "'0.5' is not a value used here" in flaws(rule("r", note="0.5")).detail


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("domain: sgb_v,", "domain: sgb_xx,", "unknown legal domain 'sgb_xx'"),
        ("members: [jobcenter, insurer]", "members: [bank]", "unknown member 'bank'"),
        ("change: procedural", "change: magic", "unknown kind of change"),
        ("kind: derived", "kind: guessed", "unknown kind of fact"),
        ("{id: report, de: Arztbericht}", "{id: master_data, de: Arztbericht}", "duplicate id 'master_data'"),
        ("question: Notfall?,", "", "'question' is missing"),
    ],
)
def test_the_vocabulary_is_checked_too(old, new, detail):
    assert old in VOCABULARY
    error = flaws(DEFAULT, vocabulary=VOCABULARY.replace(old, new))
    assert any(detail in flaw.detail for flaw in error.flaws)


DATED_WORD = "{id: task, de: Aufgabe, norm: § 15 SGB II, versions: [{valid_until: 2020-01-01, de: a, en: a}, %s]}"


@pytest.mark.parametrize(
    ("later", "detail"),
    [
        ("{valid_from: 2020-01-02, de: b, en: b}", "a gap between two versions of 'task'"),
        ("{valid_from: 2019-12-31, de: b, en: b}", "two versions of 'task' overlap"),
        ("{de: b, en: b}", "two versions of 'task' overlap"),
        ("{valid_from: heute, de: b, en: b}", "'heute' is not a day"),
        ("{valid_from: 2020-01-01, de: b}", "are no list of names"),
        ("{valid_from: 2020-01-01, de: b, en: b, fr: b}", "unknown key 'fr'"),
    ],
)
def test_the_versions_of_a_word_follow_each_other(later, detail):
    text = VOCABULARY.replace("{id: task, de: Aufgabe}", DATED_WORD % later)
    error = flaws(DEFAULT, vocabulary=text)
    assert detail in error.detail
    assert (error.file, error.line) == ("vocabulary.yaml", 1 + text[: text.index("{id: task")].count("\n"))


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("valid_from: 2020-01-01", "valid_from: 2020-01-02", "a gap between two versions of '§ 15 SGB II'"),
        ("valid_from: 2020-01-01", "valid_from: 2019-12-31", "two versions of '§ 15 SGB II' overlap"),
        ("[text]", "[sure]", "is no list of marks"),
        (", en: Before.", "", "not given in both languages"),
        ("cite: § 15 SGB II (alt)", "cite: früher", "'früher' is not a citation"),
        ("norm: § 15 SGB II", "norm: das Gesetz", "'das Gesetz' is not a citation"),
        ("cite:", "called:", "unknown key 'called'"),
    ],
)
def test_the_versions_of_a_norm_are_checked(old, new, detail):
    assert old in VERSIONS
    error = flaws(DEFAULT, versions=VERSIONS.replace(old, new))
    assert any(detail in flaw.detail for flaw in error.flaws), str(error)
    assert error.file == "versions.yaml"
    assert error.line > 1


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("chosen: cautious", "chosen: mild", "'mild' is none of the readings"),
        ("id: cautious,", "id: strict,", "there is no 'cautious' reading"),
        ("  source: test\n", "", "'source' is missing"),
        ("de: Ja., ", "", "a reading has id, de and en"),
        ("  chosen", "  colour: red\n  chosen", "unknown key 'colour'"),
        (READINGS, READINGS * 2, "duplicate id 'f-1'"),
    ],
)
def test_open_questions_are_checked(old, new, detail):
    assert old in READINGS
    error = flaws(DEFAULT, readings=READINGS.replace(old, new))
    assert any(detail in flaw.detail for flaw in error.flaws), str(error)
    assert error.file == "readings.yaml"


def test_a_rule_stands_in_the_law_under_its_reading_only():
    bold = rule("r", reading="{question: f-1, is: bold}")
    assert not build(documents(DEFAULT, bold)).versions("r")
    assert build(documents(DEFAULT, bold, readings=READINGS.replace("chosen: cautious", "chosen: bold"))).versions("r")


def test_content_from_before_there_were_versions_and_readings_still_loads():
    content = build(documents(DEFAULT, rule("r"))).content
    old = {name: data for name, data in content.items() if name not in ("versions.yaml", "readings.yaml")}
    law = restore(old)
    assert len(law.rules) == 2
    assert law.hash == build([each for each in documents(DEFAULT, rule("r")) if each.file in old]).hash


def test_every_word_has_an_english_name_of_its_own():
    law = present_law()
    named = [word for words in law.vocabulary.words.values() for word in words.values()]
    named += [*law.vocabulary.facts.values(), *law.obligations.values()]
    assert all(word.en and word.en != word.id.replace("_", " ") for word in named)


def test_a_folder_without_a_law_is_named(tmp_path):
    with pytest.raises(LawError) as refused:
        load(tmp_path)
    assert refused.value.file == "vocabulary.yaml"


def test_the_delivered_law_loads_and_every_rule_says_where_it_comes_from():
    law = present_law()
    assert len(law.rules) >= 86
    for item in law.rules:
        assert item.explanation["de"]
        assert item.explanation["en"]
        assert item.source
        assert item.certainty
        assert not item.reviewed_by, "nobody has reviewed the rules yet; a name here must be a real signature"


def test_every_rule_of_the_reference_is_there_once():
    numbers = {item.source.split("Regelwerk ")[1][:5] for item in present_law().rules}
    assert numbers == {f"R-{number:03d}" for number in range(1, 87)}
