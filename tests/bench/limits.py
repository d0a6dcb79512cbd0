"""What the databases can do when nothing but them is measured: the same rows by pgbench and by the bare driver."""

import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from sqlalchemy.engine import make_url

from tests.support.servers.postgresql import installed_postgres

_ROW = (
    "insert into events (agency, stream, version, category, type, schema_version, data, meta, event_id, recorded_at)"
    " {source} 'raw', gen_random_uuid()::text, 1, 'entry', 'EntryWritten', 1, '{data}', '{meta}', gen_random_uuid(),"
    " now() {rows};\n"
)
META = '{"command":"c"}'


def pgbench(url: str, folder: Path, data: str, *, rows: int = 1, connections: int = 1) -> Callable[[float], float]:
    """Rows per second: `rows` per statement and commit on that many connections, planned once."""
    # A colon before a word would be a variable of pgbench.
    data, meta = re.sub(r":(?=\w)", ": ", data), META.replace(":", ": ")
    many = f"from generate_series(1, {rows})" if rows > 1 else ""
    script = folder / f"insert-{rows}.sql"
    script.write_text(_ROW.format(source="select", data=data, meta=meta, rows=many))
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [str(installed_postgres() / "bin" / "pgbench"), "--no-vacuum", "--protocol=prepared"]
    command += [f"--client={connections}", f"--jobs={min(connections, 2)}", f"--file={script}"]

    def measured(seconds: float) -> float:
        timed = [*command, f"--time={max(1, round(seconds))}", plain]
        told = subprocess.run(timed, capture_output=True, text=True, check=True).stdout
        found = re.search(r"tps = ([\d.]+)", told)
        assert found is not None, told
        return float(found[1]) * rows

    return measured


def sqlite_insert(path: str, data: str) -> Callable[[], int]:
    """The same row by the bare driver: one statement, one commit, written through to the disk."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("pragma synchronous=full")
    statement = (
        "insert into events (agency, stream, version, category, type, schema_version, data, meta, event_id,"
        " recorded_at) values ('raw', ?, 1, 'entry', 'EntryWritten', 1, ?, ?, ?, '2026-01-01T00:00:00.000000Z')"
    )

    def operation() -> int:
        connection.execute(statement, (uuid4().hex, data, META, str(uuid4())))
        return 1

    return operation


def pages(url: str, start: int, events: int, page: int) -> Callable[[], int]:
    """The rows of the log behind `start` by the bare driver, both their JSON texts parsed; counts events."""
    cast, mark = ("", "?") if url.startswith("sqlite") else ("::text", "%s")
    columns = (
        f"position, agency, stream, version, category, type, schema_version, data{cast}, meta{cast}, event_id{cast}"
    )
    statement = f"select {columns}, recorded_at from events where position > {mark} order by position limit {page}"
    read = _reader(url, statement)

    def operation() -> int:
        seen, after = 0, start
        while seen < events and (rows := read(after)):
            for row in rows:
                orjson.loads(row[7])
                orjson.loads(row[8])
            seen, after = seen + len(rows), rows[-1][0]
        return seen

    return operation


def _reader(url: str, statement: str) -> Callable[[int], list[tuple[Any, ...]]]:
    if url.startswith("sqlite"):
        file = sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False)
        return lambda after: file.execute(statement, (after,)).fetchall()
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    server = psycopg.connect(plain, autocommit=True)
    return lambda after: server.execute(statement, (after,), prepare=True).fetchall()
