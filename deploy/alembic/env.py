"""Alembic's environment, the same for every service; the section of alembic.ini names the service."""

from alembic import context

from shared.migrate import run_environment

run_environment(context)
