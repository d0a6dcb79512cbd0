"""Keys of persons: sealed is bound to person and place, erased is for ever, wrapping keys can be renewed."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from shared.clock import SystemClock
from shared.crypto import FileCustody, PersonKeys
from shared.database import Database
from shared.domain import ERASED
from shared.errors import Invalid, Refused, Unavailable
from shared.eventstore import EventStore
from tests.support.stores import Place, rolled_back

PLACE = b'["jobcenter","notebook-1",1,"/text",1]'


@pytest.fixture
def keys(store: EventStore) -> PersonKeys:
    return store.keys


def another_process(keys: PersonKeys) -> PersonKeys:
    return PersonKeys(keys.database, keys._custody, SystemClock())


def test_what_was_sealed_opens_in_its_place(keys: PersonKeys) -> None:
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    assert keys.open("jobcenter", "p-1", sealed, PLACE) == b"secret"
    assert another_process(keys).open("jobcenter", "p-1", sealed, PLACE) == b"secret"


def test_sealing_twice_gives_two_texts(keys: PersonKeys) -> None:
    assert keys.seal("jobcenter", "p-1", b"x", PLACE) != keys.seal("jobcenter", "p-1", b"x", PLACE)


@pytest.mark.parametrize(
    ("agency", "person", "place"),
    [("jobcenter", "p-2", PLACE), ("insurer", "p-1", PLACE), ("jobcenter", "p-1", PLACE + b" ")],
)
def test_it_opens_nowhere_else(keys: PersonKeys, agency: str, person: str, place: bytes) -> None:
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    keys.seal(agency, person, b"so that there is a key", place)
    with pytest.raises(Invalid, match=r"sealed\.not_authentic"):
        keys.open(agency, person, sealed, place)


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s[:-2],
        lambda s: ("A" if s[0] != "A" else "B") + s[1:],
        lambda s: "",
        lambda s: s + "AAAA",
        lambda s: "ä",
    ],
)
def test_a_changed_text_does_not_open(keys: PersonKeys, damage: Any) -> None:
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    with pytest.raises(Invalid, match=r"sealed\.not_authentic"):
        keys.open("jobcenter", "p-1", damage(sealed), PLACE)


def test_an_erased_person_stays_erased(keys: PersonKeys) -> None:
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    keys.destroy("jobcenter", "p-1")
    keys.destroy("jobcenter", "p-1")
    for process in (keys, another_process(keys)):
        assert process.open("jobcenter", "p-1", sealed, PLACE) is ERASED
        with pytest.raises(Refused, match=r"person\.erased"):
            process.seal("jobcenter", "p-1", b"again", PLACE)


def test_who_was_erased_before_anything_was_recorded_stays_so(keys: PersonKeys) -> None:
    keys.destroy("jobcenter", "never seen")
    with pytest.raises(Refused, match=r"person\.erased"):
        keys.seal("jobcenter", "never seen", b"x", PLACE)


def test_an_erasure_that_was_rolled_back_did_not_happen(keys: PersonKeys) -> None:
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    with rolled_back(keys.database) as tx:
        keys.destroy("jobcenter", "p-1", tx)
        assert keys.open("jobcenter", "p-1", sealed, PLACE, tx) is ERASED
    assert keys.open("jobcenter", "p-1", sealed, PLACE) == b"secret"


def test_a_personal_field_without_a_person_is_refused(keys: PersonKeys) -> None:
    with pytest.raises(Invalid, match=r"person\.missing"):
        keys.seal("jobcenter", "", b"x", PLACE)


def test_the_key_of_somebody_unknown_is_missing_and_not_erased(keys: PersonKeys) -> None:
    with pytest.raises(Unavailable, match=r"person\.key_missing"):
        keys.open("jobcenter", "nobody", "AAAA", PLACE)


def test_two_processes_that_make_the_key_of_a_person_at_once_agree(shared_place: Place) -> None:
    processes = [shared_place.keys(shared_place.database()) for _ in range(4)]
    together = threading.Barrier(4)

    def seal(process: PersonKeys) -> str:
        together.wait()
        return process.seal("jobcenter", "p-1", b"secret", PLACE)

    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(seal, processes))
    assert {processes[0].open("jobcenter", "p-1", text_, PLACE) for text_ in sealed} == {b"secret"}
    for process in processes:
        process.database.close()


def test_many_keys_are_fetched_by_one_question(keys: PersonKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = {person: keys.seal("jobcenter", person, b"x", PLACE) for person in ("p-1", "p-2", "p-3")}
    keys.destroy("jobcenter", "p-3")
    other = another_process(keys)
    other.fetch([("jobcenter", person) for person in ("p-1", "p-2", "p-3")])
    monkeypatch.setattr(other, "_read", None)
    assert other.open("jobcenter", "p-1", sealed["p-1"], PLACE) == b"x"
    assert other.open("jobcenter", "p-3", sealed["p-3"], PLACE) is ERASED


# --- wrapping keys ------------------------------------------------------------------------------------------------


def test_no_data_key_lies_open_in_the_table(keys: PersonKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    original = keys._custody.wrap
    monkeypatch.setattr(keys._custody, "wrap", lambda key, bound: (made.append(key), original(key, bound))[1])
    keys.seal("jobcenter", "p-1", b"x", PLACE)
    with keys.database.read() as tx:
        row = tx.execute(text("select * from person_keys")).mappings().one()
    assert len(made[0]) == 32
    assert made[0].hex() not in str(row)
    assert row["kek_id"] == keys._custody.info().current


def test_a_wrapped_key_moved_to_another_person_does_not_unwrap(keys: PersonKeys) -> None:
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    keys.seal("jobcenter", "p-2", b"x", PLACE)
    with keys.database.write() as tx:
        tx.execute(
            text(
                "update person_keys set wrapped = (select wrapped from person_keys where person_id = 'p-1')"
                " where person_id = 'p-2'"
            )
        )
    with pytest.raises(Invalid, match=r"sealed\.not_authentic"):
        another_process(keys).open("jobcenter", "p-2", sealed, PLACE)


def test_after_a_rotation_living_keys_are_wrapped_anew_and_the_old_period_can_end(keys: PersonKeys) -> None:
    custody = keys._custody
    old = custody.info().current
    sealed = keys.seal("jobcenter", "p-1", b"secret", PLACE)
    keys.seal("jobcenter", "p-2", b"x", PLACE)
    keys.destroy("jobcenter", "p-2")
    with keys.database.read() as tx:
        backup = tx.execute(text("select wrapped from person_keys where person_id = 'p-1'")).scalar_one()

    new = custody.rotate()
    assert another_process(keys).open("jobcenter", "p-1", sealed, PLACE) == b"secret"
    assert keys.rewrap() == 1
    assert keys.rewrap() == 0
    custody.destroy(old)
    custody.destroy(old)
    assert custody.info().held == (new,)
    assert another_process(keys).open("jobcenter", "p-1", sealed, PLACE) == b"secret"

    with keys.database.write() as tx:
        values = {"wrapped": backup, "old": old}
        tx.execute(text("update person_keys set wrapped = :wrapped, kek_id = :old where person_id = 'p-1'"), values)
    with pytest.raises(Unavailable, match=r"custody\.key_missing"):
        another_process(keys).open("jobcenter", "p-1", sealed, PLACE)


def test_the_present_wrapping_key_is_not_destroyed(tmp_path: Path) -> None:
    custody = FileCustody(tmp_path / "kek")
    with pytest.raises(Refused, match=r"custody\.key_in_use"):
        custody.destroy(custody.info().current)


def test_wrapping_keys_in_a_file_are_not_for_production(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"custody\.file_in_production"):
        FileCustody(tmp_path / "kek", production=True)
    assert not (tmp_path / "kek").exists()


def test_the_file_of_wrapping_keys_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "made" / "kek"
    previous = os.umask(0)
    try:
        FileCustody(path).info()
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(Refused, match=r"custody\.file_is_open"):
        FileCustody(path).info()


def test_processes_that_make_the_file_at_once_share_its_keys(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def wrap(_: int) -> Any:
        together.wait()
        return FileCustody(tmp_path / "kek").wrap(b"k" * 32, b"p")

    with ThreadPoolExecutor(6) as pool:
        wrapped = list(pool.map(wrap, range(6)))
    assert {FileCustody(tmp_path / "kek").unwrap(each, b"p") for each in wrapped} == {b"k" * 32}
    assert [path.name for path in tmp_path.iterdir()] == ["kek"]


def test_a_rotation_is_seen_by_other_processes(tmp_path: Path) -> None:
    here, there = FileCustody(tmp_path / "kek"), FileCustody(tmp_path / "kek")
    before = here.wrap(b"k" * 32, b"p")
    there.rotate()
    after = here.wrap(b"k" * 32, b"p")
    assert before.kek_id != after.kek_id
    assert there.unwrap(before, b"p") == here.unwrap(after, b"p") == b"k" * 32


@given(plaintext=st.binary(max_size=200), place=st.binary(max_size=40), elsewhere=st.binary(max_size=40))
def test_sealing_and_opening_are_inverse_and_bound_to_the_place(
    plaintext: bytes, place: bytes, elsewhere: bytes
) -> None:
    sealed = MEMORY.seal("jobcenter", "p-1", plaintext, place)
    assert MEMORY.open("jobcenter", "p-1", sealed, place) == plaintext
    if elsewhere != place:
        with pytest.raises(Invalid):
            MEMORY.open("jobcenter", "p-1", sealed, elsewhere)


class _OpenCustody(FileCustody):
    """Wraps with a key in memory, for the property above."""

    def __init__(self) -> None:
        self._ring = {"current": "k", "keys": {"k": "A" * 43}}

    def _load(self) -> dict[str, Any]:
        return self._ring


def _memory_keys() -> PersonKeys:
    database = Database("sqlite://")
    with database.write() as tx:
        tx.exec_driver_sql(
            "create table person_keys (agency text, person_id text, wrapped text, kek_id text, created_at text,"
            " erased_at text, primary key (agency, person_id))"
        )
    return PersonKeys(database, _OpenCustody(), SystemClock())


MEMORY = _memory_keys()


def test_a_destroyed_key_lies_in_no_page_of_the_file(tmp_path: Path) -> None:
    from shared.eventstore import create_all

    place = Place(f"sqlite:///{tmp_path / 'store.db'}", tmp_path)
    database = place.database()
    create_all(database)
    keys = place.keys(database)
    for number in range(50):
        keys.seal("jobcenter", f"p-{number}", b"x", PLACE)
    with database.read() as tx:
        wrapped = tx.execute(text("select wrapped from person_keys where person_id = 'p-7'")).scalar_one()
    keys.destroy("jobcenter", "p-7")
    everything = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert wrapped.encode() not in everything
    assert sqlite3.connect(tmp_path / "store.db").execute("select count(*) from person_keys").fetchone() == (50,)
    database.close()
