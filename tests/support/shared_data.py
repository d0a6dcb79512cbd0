"""The reference data set that is kept outside of the repository: found, or its tests are left out and say so.

`HANDSCHLAG_SHARED` names its folder; without it, a folder `shared` beside the clone is looked for.
"""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder() -> Path | None:
    """The folder, if it is there: recognised by what lies in it, not by its name alone."""
    named = os.environ.get("HANDSCHLAG_SHARED", "")
    folder = Path(named) if named else REPOSITORY.parent / "shared"
    return folder if (folder / "data").is_dir() else None


def shared_data(*parts: str) -> Path:
    """A file or folder of the data set; skips the test that asks where there is none."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("the reference data set is not here; HANDSCHLAG_SHARED names its folder")
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the reference data set has no {'/'.join(parts)}")
    return path
