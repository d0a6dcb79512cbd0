"""How the gateway is served by gunicorn: plain threads, never monkey-patched. Host and port come from the settings."""

from shared.config import Settings

_settings = Settings.from_environment()

bind = f"{_settings.host}:{_settings.port}"
worker_class = "gthread"
workers = 1 if _settings.mode == "demo" else 2  # codes of the development sign-in live in one process
threads = 8
graceful_timeout = 5
reuse_port = True  # whoever takes the place of a killed server need not wait for its last worker
control_socket_disable = True
loglevel = "warning"
