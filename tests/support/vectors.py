"""Third-party vectors that lie in the repository: what is proved by them is proved wherever the tests run.

`tests/vectors/SOURCE.md` says where each file comes from and under which licence.
"""

import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "vectors"


def vectors(name: str) -> Any:
    """The content of a JSON file, kept compressed."""
    return json.loads(gzip.decompress((FOLDER / f"{name}.gz").read_bytes()))
