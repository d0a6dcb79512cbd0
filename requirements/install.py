"""Installs a lock, once: into `.venv` (runtime, test) or `.venv-bench` (bench, with the peers to measure).

A stamp names what was installed; as long as it still holds, nothing is done. Several makes in one clone
wait for each other at a file lock. Only the standard library is used, since nothing else is there yet.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = {"runtime": ".venv", "test": ".venv", "bench": ".venv-bench"}
CONTAINED = {"test": ["runtime"], "runtime": [], "bench": []}
MISLEADING = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIREMENT",
    "PYTHONPATH",
    "PYTHONHOME",
)


def wanted(lock: str, python: Path) -> str:
    """What a finished installation of this lock in this place is recognised by."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    package = (settings["build-system"], settings["project"], settings["tool"]["setuptools"])
    locked = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    return hashlib.sha256(repr((locked, package, str(python))).encode()).hexdigest()


def run(*command: str | Path) -> bool:
    """Runs quietly; what a failing program said is passed on."""
    environment = {key: value for key, value in os.environ.items() if key not in MISLEADING}
    environment.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_ROOT_USER_ACTION="ignore")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return done.returncode == 0


def usable(python: Path) -> bool:
    """Whether an environment is there, is new enough and has its pip."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return python.exists() and subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def install(lock: str, folder: Path) -> bool:
    python = folder / "bin" / "python"
    stamps = {name: folder / f".installed-{name}" for name in (lock, *CONTAINED[lock])}
    if usable(python) and all(
        stamp.exists() and stamp.read_text() == wanted(name, python) for name, stamp in stamps.items()
    ):
        return True
    print(
        f"handschlag: installing requirements/{lock}.txt into {folder.name} (once; a minute or so)",
        flush=True,
    )
    if not usable(python):
        venv.create(folder, clear=True, with_pip=True, symlinks=True)
    for stamp in stamps.values():
        stamp.unlink(missing_ok=True)
    pip = (python, "-m", "pip", "install", "--quiet")
    if not run(*pip, "--require-hashes", "-r", f"requirements/{lock}.txt"):
        return False
    if not run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "--editable", "."):
        return False
    for name, stamp in stamps.items():
        stamp.write_text(wanted(name, python))
    return True


def main() -> int:
    lock = sys.argv[1] if len(sys.argv) > 1 else "runtime"
    if lock not in ENVIRONMENTS:
        print(f"handschlag: no such lock: {lock}; choose one of {', '.join(ENVIRONMENTS)}", file=sys.stderr)
        return 2
    try:
        with (ROOT / ".install.lock").open("a") as waiting:
            fcntl.flock(waiting, fcntl.LOCK_EX)
            installed = install(lock, ROOT / ENVIRONMENTS[lock])
    except PermissionError as error:
        print(f"handschlag: {error.filename} belongs to somebody else; use a clone of your own", file=sys.stderr)
        return 1
    if not installed:
        print(
            f"handschlag: requirements/{lock}.txt could not be installed; pip's words are above",
            file=sys.stderr,
        )
    return 0 if installed else 1


if __name__ == "__main__":
    raise SystemExit(main())
