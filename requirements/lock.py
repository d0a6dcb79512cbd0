"""Compiles the three locks from their `.in` files: `make locks`, after a version was changed on purpose.

pip's own configuration is switched off meanwhile: a lock holds the published hashes, no address and no
path, whatever mirror or wheel folder this machine uses (`tests/architecture/test_locks.py` looks).
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIP_TOOLS = "pip-tools==7.6.2"
LOCKS = ("runtime", "test", "bench")
OPTIONS = (
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--strip-extras",
    "--allow-unsafe",
)


def main() -> int:
    """Compiled with the oldest Python that is supported, since its lock installs on the newer ones, too."""
    if sys.version_info[:2] != (3, 11):
        print("handschlag: locks are compiled with Python 3.11", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", PIP_TOOLS], check=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        if "PIP_CERT" in os.environ:
            environment["PIP_CERT"] = os.environ["PIP_CERT"]
        environment["PIP_CONFIG_FILE"] = os.devnull
        for lock in LOCKS:
            files = ("-o", f"requirements/{lock}.txt", f"requirements/{lock}.in")
            command = [python, "-m", "piptools", "compile", "--quiet", "--no-header", *OPTIONS, *files]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
