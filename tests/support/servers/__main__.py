"""`python -m tests.support.servers`: both servers, until Ctrl-C."""

import contextlib
import sys
import time

from tests.support.servers import NoServerError, private_postgres, private_rabbitmq


def main() -> int:
    """Starts both and waits; whatever cannot be had is named in one line."""
    with contextlib.ExitStack() as servers:
        try:
            print(f"HANDSCHLAG_TEST_POSTGRES={servers.enter_context(private_postgres()).url}", flush=True)
            print(f"HANDSCHLAG_TEST_RABBITMQ={servers.enter_context(private_rabbitmq()).url}", flush=True)
        except NoServerError as missing:
            print(missing, file=sys.stderr)
            return 3
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
