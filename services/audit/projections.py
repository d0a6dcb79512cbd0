"""Read models of the audit service: none; its tables are those of the log itself (`tables.py`)."""

from sqlalchemy import MetaData

metadata = MetaData()
