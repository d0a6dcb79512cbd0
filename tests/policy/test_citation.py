import pytest

from shared.policy.citation import covered, is_citation, places


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("§ 76 Abs. 2 Nr. 1 SGB X", "SGB X § 76 Abs. 2 Nr. 1"),
        ("Art. 9 Abs. 2 Buchst. a DSGVO", "DSGVO Art. 9 Abs. 2 Buchst. a"),
        ("§ 15a Abs. 1 SGB II (Fassung ab 1.7.2023)", "SGB II § 15a Abs. 1"),
        ("Erwägungsgrund 26 DSGVO", "DSGVO ErwGr. 26"),
        ("§§ 1823, 1629 BGB", "BGB § 1823, § 1629"),
    ],
)
def test_a_place_may_be_written_in_either_order(one, other):
    assert places(one) == places(other) != ()


def test_lists_and_ranges_name_each_place():
    assert [place.path[-1][1] for place in places("§ 203 Abs. 1 Nr. 1, 2, 4, 6 StGB")] == ["1", "2", "4", "6"]
    assert [place.path[0][1] for place in places("§§ 102 bis 105 SGB X")] == ["102", "103", "104", "105"]
    paths = [place.path for place in places("§ 19 Abs. 1 Satz 2, Abs. 2 Satz 2 Nr. 12 SGB IX")]
    assert [path[1:] for path in paths] == [
        (("Abs.", "1"), ("Satz", "2")),
        (("Abs.", "2"), ("Satz", "2"), ("Nr.", "12")),
    ]


def test_two_laws_may_be_cited_together():
    laws = [place.law for place in places("§ 67b Abs. 2 SGB X i. V. m. Art. 9 Abs. 2 Buchst. a DSGVO")]
    assert laws == ["SGB X", "DSGVO"]


@pytest.mark.parametrize(
    ("wanted", "cited", "expected"),
    [
        ("§ 80 Abs. 1 SGB X", "§ 80 SGB X", True),
        ("§ 80 SGB X", "§ 80 Abs. 1 SGB X", True),
        ("§ 203 Abs. 1 Nr. 4 StGB", "§ 203 Abs. 1 Nr. 1, 2, 4, 6 StGB", True),
        ("§ 76 Abs. 1 SGB X", "§ 76 Abs. 2 Nr. 1 SGB X", False),
        ("§ 76 Abs. 1 SGB X", "§ 76 Abs. 1 SGB V", False),
        ("§ 64 Abs. 2 SGB VIII", "§ 64 Abs. 2a SGB VIII", False),
        ("common sense", "§ 80 SGB X", False),
    ],
)
def test_one_place_covers_another_when_one_lies_within_the_other(wanted, cited, expected):
    assert covered(wanted, (cited,)) is expected


def test_a_sentence_is_no_citation():
    assert not is_citation("because it is useful")
