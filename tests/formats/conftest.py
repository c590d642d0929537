import os
from pathlib import Path

import pytest

REAL = Path(__file__).parents[3] / "shared" / "data" / "react-webshop" / "episodes.jsonl.gz"


@pytest.fixture
def real_episodes():
    """500 real episodes in ReAct's format."""
    if not REAL.is_file():
        (pytest.fail if os.environ.get("EEF_REQUIRE_DATA") == "1" else pytest.skip)(
            "needs ../shared/data/react-webshop"
        )
    return REAL
