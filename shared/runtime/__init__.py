"""The only door to nameko: what a service offers, asks, follows and hears, and the processes that run it.

`patch()` comes first in a process that runs services, before anything else of the platform is imported; therefore
this module loads its parts only when they are named. Domain code, handlers and stores know nothing of green threads.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.messaging import Handler, Message
    from shared.runtime.calling import Asking, Calls, LocalCalls, by_itself, calls_of
    from shared.runtime.service import (
        ServiceContext,
        ServiceDefinition,
        Work,
        calls,
        clock,
        context,
        database,
        local,
        rpc,
        service_context,
        store,
    )
    from shared.runtime.serving import Running, Serving, run, serve_wsgi, start, timer

__all__ = [
    "Asking",
    "Calls",
    "Handler",
    "LocalCalls",
    "Message",
    "Running",
    "ServiceContext",
    "ServiceDefinition",
    "Serving",
    "Work",
    "by_itself",
    "calls",
    "calls_of",
    "clock",
    "context",
    "database",
    "local",
    "patch",
    "rpc",
    "run",
    "serve_wsgi",
    "service_context",
    "start",
    "store",
    "timer",
]

_HOMES = {
    **dict.fromkeys(("Handler", "Message"), "shared.messaging"),
    **dict.fromkeys(("Asking", "Calls", "LocalCalls", "by_itself", "calls_of"), "shared.runtime.calling"),
    **dict.fromkeys(("Running", "Serving", "run", "serve_wsgi", "start", "timer"), "shared.runtime.serving"),
}
_patched = False

# It says so at every start; why it stays is written in contracts/decisions.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")


def patch() -> None:
    """Make threads green. Once, and before psycopg is imported: its waiting must be told to let others run."""
    global _patched  # noqa: PLW0603
    if _patched:
        return
    if "psycopg" in sys.modules:
        message = "shared.runtime.patch() comes too late: psycopg is already imported"
        raise RuntimeError(message)
    os.environ["PSYCOPG_WAIT_FUNC"] = "wait_selector"
    import eventlet  # noqa: PLC0415

    eventlet.monkey_patch()
    _patched = True


def __getattr__(name: str) -> Any:
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_HOMES.get(name, "shared.runtime.service")), name)
