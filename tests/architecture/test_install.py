"""The installation chooses a Python that works, or says in one plain line what is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.scratch import ROOT

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{python}" "$@"\n'
BROKEN_SHIM = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
WORKING = '#!/bin/sh\nexec "{python}" "$@"\n'


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A machine with next to nothing on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def put(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(script.format(python=sys.executable))
    program.chmod(0o755)


def install(programs: Path, lock: str = "nonsense") -> subprocess.CompletedProcess[str]:
    """Asks for a lock that does not exist, so that a Python which is found has nothing to install."""
    command = [str(programs / "sh"), str(ROOT / "requirements" / "install"), lock]
    return subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False)


def test_a_missing_python_is_one_line_with_the_packages_name(programs: Path) -> None:
    result = install(programs)
    assert result.returncode == 1
    assert result.stderr == (
        "handschlag: Python 3.11 or newer is missing; on Debian: apt-get install python3 python3-venv\n"
    )


def test_a_missing_venv_is_one_line_with_the_packages_name(programs: Path) -> None:
    put(programs, "python3", WITHOUT_VENV)
    result = install(programs)
    assert result.returncode == 1
    assert result.stderr == (
        f"handschlag: {VERSION} is here but cannot make environments; on Debian: apt-get install {VERSION}-venv\n"
    )


def test_a_python_that_does_not_start_is_passed_over(programs: Path) -> None:
    put(programs, "python3.13", BROKEN_SHIM)
    put(programs, "python3.12", WITHOUT_VENV)
    put(programs, "python3", WORKING)
    result = install(programs)
    assert result.returncode == 2
    assert result.stderr == "handschlag: no such lock: nonsense; choose one of runtime, test, bench\n"
