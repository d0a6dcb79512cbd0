"""Alembic branch of the read models of the health service."""
