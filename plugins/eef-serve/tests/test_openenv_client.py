"""The client of openenv-core plays episodes that `eef serve` serves.

The test is skipped where openenv-core isn't installed. It may be installed in another environment, whose Python the
variable EEF_OPENENV_PYTHON names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from eef_serve.testing import RunningServer

from eef_framework.testing.corridor import Corridor

PYTHON = os.environ.get("EEF_OPENENV_PYTHON") or (sys.executable if find_spec("openenv") else "")


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="needs openenv-core")
def test_the_client_of_openenv_plays_the_episodes_of_the_environment(
    start: Callable[..., RunningServer], token: str
) -> None:
    server, corridor = start(), Corridor()
    task = corridor.tasks("train")[3]
    expected, actions = [], []
    with corridor.open(task) as session:
        expected.append([session.observation.model_dump(mode="json"), None, False])
        while not session.done:
            action = (session.observation.actions or ("go[east]",))[-1]
            step = session.step(action)
            actions.append(action)
            expected.append([step.observation.model_dump(mode="json"), step.reward, step.done])
        reward = session.reward
    url = server.url.replace("://", f"://me:{token}@")
    script = Path(__file__).with_name("openenv_client.py")
    done = subprocess.run([PYTHON, str(script), url, *actions], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["seen"] == [expected, expected, expected[1]]
    state = found["state"]
    assert (state["episode_id"], state["task"], state["step_count"]) == ("mine", task.id, len(actions))
    assert (state["reward"], state["done"], state["instructions"]) == (reward, True, corridor.instructions)
    assert ["EXECUTION_ERROR" in found["errors"][0], "VALIDATION_ERROR" in found["errors"][1]] == [True, True]
    end = time.monotonic() + 60
    while len(server.sessions):  # of the client that left without closing
        assert time.monotonic() < end
        time.sleep(0.05)
