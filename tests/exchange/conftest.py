"""A platform for each module, an agency for each test."""

from tests.support.workplace import jobcenter, platform

__all__ = ["jobcenter", "platform"]
