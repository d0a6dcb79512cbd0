"""No room left: nothing is signed and nothing leaves; with room again the same call finds its entry once."""

import pytest
from sqlalchemy import event

from services.audit.sequencer import AuditLog
from shared.errors import Unavailable
from tests.audit.conftest import AGENCY, PREFIX
from tests.support.receipts import intent


def disclose(log: AuditLog, key: str, said: tuple) -> int:
    leaf, openings = said
    return log.append(AGENCY, leaf, key=key, openings=openings, person="p-1").idx


def disclose_all(log: AuditLog, said: list[tuple]) -> list[int]:
    return [disclose(log, key, each) for key, each in said]


def test_a_full_database_answers_nobody_and_loses_nobody(on_file):
    pages = []

    def limited(connection, _):
        if pages:
            connection.execute(f"PRAGMA max_page_count = {pages[-1]}")

    log = on_file.log()
    disclose(log, "before", intent())
    log.stop()
    database = on_file.database()
    event.listen(database.engine, "connect", limited)
    with database.read() as tx:
        pages.append(tx.exec_driver_sql("PRAGMA page_count").scalar() + 2)
    database.engine.dispose()
    full = AuditLog(database, on_file.signer, PREFIX, on_file.heads, on_file.clock)
    full.start()
    said = [(f"d-{number}", intent()) for number in range(200)]
    with pytest.raises(Unavailable):
        disclose_all(full, said)
    full.stop()
    database.close()

    again = on_file.log()
    assert again.fsck(AGENCY) == []
    assert disclose_all(again, said) == list(range(2, 202))
    assert again.fsck(AGENCY) == []


def test_a_head_that_cannot_be_kept_outside_the_database_is_not_shown(on_file):
    log, said = on_file.log(), intent()
    disclose(log, "before", intent())
    draft = on_file.heads / AGENCY / "2026-1.draft"
    draft.symlink_to("/dev/full")
    with pytest.raises(Unavailable):
        disclose(log, "d-1", said)
    draft.unlink()
    assert disclose(log, "d-1", said) == 2
    assert len(log.entries(AGENCY)) == 3
    assert log.fsck(AGENCY) == []


@pytest.mark.parametrize("hours", [-1, -24 * 300, 5])
def test_a_clock_that_jumps_moves_no_entry_and_stops_no_log(on_file, hours):
    log = on_file.log()
    disclose(log, "before", intent())
    on_file.clock.move(hours=hours)
    assert disclose(log, "after", intent()) == 2
    on_file.clock.move(hours=-hours)
    assert disclose(log, "again", intent()) == 3
    assert log.fsck(AGENCY) == []
