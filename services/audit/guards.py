"""What the database itself refuses: triggers that let the audit log grow, and shrink only through an open door.

`leaf`, `node`, `checkpoint` and `cosignature` go with a whole year that is over, `entry` when the period of its kind
is over. A row of `retention_door` opens for one log within one transaction. On PostgreSQL only the retention role may
write that row, and it is held against the clock of the database and the periods that the owner wrote; on SQLite, where
the file is everybody's, the triggers guard against mistakes and against code of ours.
"""

_NEVER = {
    "leaf": ("UPDATE",),
    "node": ("UPDATE",),
    "checkpoint": ("UPDATE",),
    "cosignature": ("UPDATE",),
    "entry": ("UPDATE",),
    "entry_key": ("UPDATE",),
    "dropped_log": ("UPDATE", "DELETE"),
}

_WITH_THE_YEAR = ("leaf", "node", "checkpoint", "cosignature", "head", "entry_key")
_YEAR = "SELECT 1 FROM retention_door d WHERE d.log = OLD.log AND d.what = 'year'"
_HOLDS = {
    "sqlite": "instr(CAST({row}.bytes AS TEXT), '\"' || d.token || '\"') > 0",
    "postgresql": "position('\"' || d.token || '\"' in convert_from({row}.bytes, 'UTF8')) > 0",
}
_DUE = (
    "SELECT 1 FROM retention_door d {join} WHERE d.log = OLD.log AND (d.what = 'year' OR (d.what IN ({what}) "
    "AND d.kind = {row}.kind AND {row}.at < d.before AND (d.token = '' OR {holds})))"
)


def _due(dialect: str) -> str:
    """Whether the entry that is being deleted is behind an open door."""
    return _DUE.format(join="", row="OLD", what="'entry'", holds=_HOLDS[dialect].format(row="OLD"))


_REFUSAL = "the audit log only grows"
RETENTION = "handschlag_retention"
"""The role that deletes what is due. An erasure of a person is the service's own: it needs no door for openings."""


def triggers(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [*_sqlite_triggers(), *_SQLITE_INDEX]
    return [*_postgresql_triggers(), *_POSTGRESQL_INDEX]


_SQLITE_INDEX = [
    """
    CREATE TRIGGER IF NOT EXISTS entry_terms_go AFTER DELETE ON entry BEGIN
    DELETE FROM entry_term WHERE log = OLD.log AND idx = OLD.idx;
    UPDATE search_mark SET deleted = deleted + 1 WHERE log = OLD.log AND upto > OLD.idx; END
    """
]
_POSTGRESQL_INDEX = [
    """CREATE OR REPLACE FUNCTION audit_log_terms_go() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$ BEGIN
    DELETE FROM entry_term t USING gone g WHERE t.log = g.log AND t.idx = g.idx;
    UPDATE search_mark m SET deleted = m.deleted + c.number FROM (
        SELECT g.log, count(*) AS number FROM gone g JOIN search_mark s ON s.log = g.log AND s.upto > g.idx
        GROUP BY g.log) c WHERE m.log = c.log;
    RETURN NULL; END $$""",
    """CREATE OR REPLACE TRIGGER entry_terms_go AFTER DELETE ON entry REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_terms_go()""",
]
"""What can be searched goes with the bytes that it was drawn from, in the same transaction, whoever deletes them."""


def _sqlite_triggers() -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
    doors = {**dict.fromkeys(_WITH_THE_YEAR, _YEAR), "entry": _due("sqlite")}
    return [
        *(f"DROP TRIGGER IF EXISTS {table}_no_delete" for table in doors),
        *(
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_{change.lower()} BEFORE {change} ON {table} {refuse}"
            for table, changes in _NEVER.items()
            for change in changes
        ),
        *(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} WHEN NOT EXISTS ({door}) {refuse}"
            for table, door in doors.items()
        ),
        (
            "CREATE TRIGGER IF NOT EXISTS head_only_grows BEFORE UPDATE ON head "
            f"WHEN NEW.size < OLD.size OR NEW.log <> OLD.log {refuse}"
        ),
    ]


def _postgresql_triggers() -> list[str]:
    raising = f"RAISE EXCEPTION '{_REFUSAL}'"
    refuse = "EXECUTE FUNCTION audit_log_only_grows()"
    of_the_entry = _DUE.format(
        join="JOIN entry e ON e.log = OLD.log AND e.idx = OLD.idx",
        row="e",
        what="'entry', 'openings'",
        holds=_HOLDS["postgresql"].format(row="e"),
    )
    functions = {
        "audit_log_only_grows": f"{raising};",
        "audit_log_year_is_due": f"IF EXISTS ({_YEAR}) THEN RETURN OLD; END IF; {raising};",
        "audit_log_entry_is_due": f"IF EXISTS ({_due('postgresql')}) THEN RETURN OLD; END IF; {raising};",
        "audit_log_opening_is_due": f"IF current_user <> '{RETENTION}' OR EXISTS ({of_the_entry}) THEN RETURN OLD; "
        f"END IF; {raising};",
        "audit_log_period_is_over": _PERIOD_IS_OVER,
        "audit_log_year_is_over": _YEAR_IS_OVER,
    }
    return [
        *(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
            for name, body in functions.items()
        ),
        *(
            f"CREATE OR REPLACE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} FOR EACH ROW {refuse}"
            for table, changes in _NEVER.items()
            for change in changes
        ),
        *(
            f"CREATE OR REPLACE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}"
            for table in (*_WITH_THE_YEAR, "entry", "dropped_log")
        ),
        *(
            f"CREATE OR REPLACE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION audit_log_year_is_due()"
            for table in _WITH_THE_YEAR
        ),
        *(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {change} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
            for name, change, table, function in (
                ("opening_due", "DELETE", "opening", "audit_log_opening_is_due"),
                ("subject_due", "DELETE", "subject", "audit_log_opening_is_due"),
                ("entry_no_delete", "DELETE", "entry", "audit_log_entry_is_due"),
                ("retention_door_opens", "INSERT OR UPDATE", "retention_door", "audit_log_period_is_over"),
                ("dropped_log_is_due", "INSERT", "dropped_log", "audit_log_year_is_over"),
            )
        ),
        (
            "CREATE OR REPLACE TRIGGER head_only_grows BEFORE UPDATE ON head FOR EACH ROW "
            f"WHEN (NEW.size < OLD.size OR NEW.log <> OLD.log) {refuse}"
        ),
    ]


_PERIOD_IS_OVER = """
IF NEW.what = 'year' THEN
    IF EXISTS (SELECT 1 FROM dropped_log g WHERE g.log = NEW.log) THEN RETURN NEW; END IF;
ELSIF NEW.before <= coalesce((
    SELECT to_char((now() AT TIME ZONE 'UTC') - make_interval(days => p.days), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM retention_period p WHERE p.what = NEW.what AND p.kind = NEW.kind AND p.token = NEW.token), '') THEN
    RETURN NEW;
END IF;
RAISE EXCEPTION 'the period of retention is not over';
"""
"""By the clock of the database, for every kind of entry."""

_YEAR_IS_OVER = """
IF EXISTS (
    SELECT 1 FROM head h JOIN head n ON n.agency = h.agency AND (n.year, n.part) > (h.year, h.part)
    JOIN checkpoint c ON c.log = n.log JOIN checkpoint l ON l.log = h.log AND l.size = h.size
    JOIN retention_period p ON p.what = 'year'
    WHERE h.log = NEW.log AND h.agency = NEW.agency AND l.note = NEW.note
    AND make_date(h.year + 1, 1, 1) + make_interval(days => p.days) <= now() AT TIME ZONE 'UTC') THEN
    RETURN NEW;
END IF;
RAISE EXCEPTION 'the period of retention is not over';
"""
"""A year may be dropped when its last entry is signed, and one that follows is signed too."""
