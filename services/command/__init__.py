"""The `handschlag` command: assembles the platform and runs it; the only package that knows every service."""
