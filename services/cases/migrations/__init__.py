"""Alembic branch of the read models of the cases service."""
