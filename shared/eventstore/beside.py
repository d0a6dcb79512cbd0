"""The tables of a read model that is being rebuilt: they stand beside the live ones and bear a version in their names.

The function that fills a read model is written about the live tables. `in_place_of_the_live_one` lets it fill the
new ones: the names of the tables are replaced in every statement that the connection executes meanwhile, whoever
composed it. Values are parameters and stay what they are.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Index, MetaData, Table, event, inspect, text
from sqlalchemy.schema import CreateIndex


class Beside:
    """The tables of one version of a read model, while it is not the live one yet."""

    def __init__(self, tables: MetaData, version: int) -> None:
        self._tables = tables.sorted_tables
        self._suffix = f"_v{version}"
        names = {table.name for table in self._tables}
        for table in self._tables:
            if table.foreign_keys or names & set(table.columns.keys()):
                message = f"{table.name}: a read model has no foreign keys, and no column named like a table"
                raise TypeError(message)
        self._names = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b" if names else r"(?!)")

    def exists(self, tx: Connection) -> bool:
        """Whether all of them are there."""
        there = set(inspect(tx).get_table_names())
        return all(self._beside(table.name) in there for table in self._tables)

    def create(self, tx: Connection) -> None:
        """Make them, empty; what an earlier attempt left behind goes."""
        for table in self._tables:
            self._drop(tx, self._beside(table.name))
        made = MetaData()
        for table in self._tables:
            copy = table.to_metadata(made, name=self._beside(table.name))
            copy.indexes.clear()
            for index in table.indexes:
                columns = [copy.columns[column.name] for column in index.columns]
                Index(self._beside(str(index.name)), *columns, unique=index.unique)
            for constraint in copy.constraints:
                if isinstance(constraint.name, str):
                    constraint.name = self._beside(constraint.name)
        made.create_all(tx)

    @contextmanager
    def in_place_of_the_live_one(self, tx: Connection) -> Iterator[None]:
        """Within the block, statements about the live tables act on these."""

        def redirect(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: Any) -> tuple[str, Any]:
            return self._names.sub(rf"\g<1>{self._suffix}", statement), parameters

        event.listen(tx, "before_cursor_execute", redirect, retval=True)
        try:
            yield
        finally:
            event.remove(tx, "before_cursor_execute", redirect)

    def become_live(self, tx: Connection) -> None:
        """They take the names, and on PostgreSQL the rights, of the live tables, which are gone then."""
        for table in self._tables:
            if tx.dialect.name == "postgresql":
                self._hand_on_rights(tx, table)
            self._drop(tx, table.name)
            tx.exec_driver_sql(
                f"alter table {_quoted(tx, self._beside(table.name))} rename to {_quoted(tx, table.name)}"
            )
            if tx.dialect.name == "postgresql":
                self._rename_indexes(tx, table)
            else:
                self._make_indexes_anew(tx, table)

    def _beside(self, name: str) -> str:
        return f"{name}{self._suffix}"

    def _drop(self, tx: Connection, name: str) -> None:
        tx.exec_driver_sql(f"drop table if exists {_quoted(tx, name)}")

    def _hand_on_rights(self, tx: Connection, table: Table) -> None:
        question = text(
            "select grantee, privilege_type from information_schema.role_table_grants"
            " where table_schema = current_schema() and table_name = :name and grantee <> current_user"
        )
        for grantee, privilege in tx.execute(question, {"name": table.name}).all():
            whom = "public" if grantee == "PUBLIC" else _quoted(tx, grantee)
            tx.exec_driver_sql(f"grant {privilege} on {_quoted(tx, self._beside(table.name))} to {whom}")

    def _rename_indexes(self, tx: Connection, table: Table) -> None:
        question = text("select indexname from pg_indexes where schemaname = current_schema() and tablename = :name")
        for name in tx.execute(question, {"name": table.name}).scalars().all():
            plain = name.removesuffix(self._suffix).replace(self._beside(table.name), table.name)
            tx.exec_driver_sql(f"alter index {_quoted(tx, name)} rename to {_quoted(tx, plain)}")

    def _make_indexes_anew(self, tx: Connection, table: Table) -> None:
        """SQLite cannot rename an index."""
        for index in table.indexes:
            tx.exec_driver_sql(f"drop index if exists {_quoted(tx, self._beside(str(index.name)))}")
            tx.execute(CreateIndex(index))


def _quoted(tx: Connection, name: str) -> str:
    return tx.dialect.identifier_preparer.quote(name)
