"""The gateway as a process of its own: `gunicorn services.gateway.wsgi:app`, with settings from the environment.

Plain threads, never monkey-patched; connections to the services are made when the first request needs one.
"""

from services.gateway.app import create_app
from shared import telemetry
from shared.config import Settings
from shared.runtime import calls_of

settings = Settings.from_environment()
telemetry.set_up("gateway", log_level=settings.log_level, spans=settings.spans)
app = create_app(settings, calls_of("gateway", settings))
