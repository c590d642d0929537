"""The agent of verifiers plays the episodes of an environment, here and on a server.

The test is skipped where verifiers isn't installed. It may be installed, together with eef-serve, in another
environment, whose Python the variable EEF_VERIFIERS_PYTHON names. Its agent runs in an environment that uv makes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import eef_serve
import pytest
from eef_serve.testing import RunningServer

from eef_framework.chat.tool_calls import ACT
from eef_framework.testing.corridor import Corridor, best_action

PYTHON = os.environ.get("EEF_VERIFIERS_PYTHON") or (sys.executable if find_spec("verifiers") else "")
CORRIDOR = "eef_framework.testing.corridor:Corridor"


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="needs verifiers")
@pytest.mark.usefixtures("token")
def test_the_agent_of_verifiers_plays_the_episodes_of_an_environment(start: Callable[..., RunningServer]) -> None:
    server = start()
    configurations = [
        {"environment": CORRIDOR, "split": "dev"},
        {"environment": "remote", "settings": {"url": server.url}, "split": "dev", "success": 2.0},
        {"environment": CORRIDOR, "split": "dev", "settings": {"fault": "raise"}},
    ]
    script = Path(__file__).with_name("verifiers_player.py")
    command = [PYTHON, str(script), "2", *map(json.dumps, configurations)]
    path = os.pathsep.join((str(Path(PYTHON).parent), os.environ["PATH"]))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    here, there, lost = json.loads(done.stdout.splitlines()[-1])
    corridor = Corridor()
    for task, found, far in zip(corridor.tasks("dev")[:2], here, there, strict=True):
        expected = [["system", corridor.instructions]]
        with corridor.open(task) as session:
            while not session.done:
                action = best_action(session.observation.text)
                expected.append(["user", session.observation.text])
                expected.append(["assistant", f"Thought: the door.\nAction: {action}"])
                session.step(action)
            reward, steps = session.reward, len(session.steps)
        assert (found["ok"], found["task"], found["rewards"]) == (True, task.id, {"reward": reward})
        assert found["metrics"] == {"success": reward >= 1, "steps": steps}
        assert found["messages"] == expected
        assert far == found | {"metrics": {"success": False, "steps": steps}}
    for found in lost:
        assert (found["ok"], found["rewards"]) == (False, {})
        assert found["errors"]
    assert len(server.sessions) == 0


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="needs verifiers")
def test_with_the_style_tools_the_system_prompt_describes_the_tools() -> None:
    code = (
        "import sys\nfrom eef_serve.verifiers_taskset import EefTaskset, EefTasksetConfig\n"
        f"given = dict(id='eef-serve', environment={CORRIDOR!r}, split='dev', format={{'style': 'tools'}})\n"
        "print(next(EefTaskset(EefTasksetConfig(**given)).load()).data.system_prompt)\n"
    )
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Corridor().instructions in done.stdout
    assert json.dumps(ACT.function) in done.stdout


def test_the_package_is_importable_without_verifiers() -> None:
    assert eef_serve.__all__ == ["EefEnv", "EefTaskset"]
    with pytest.raises(AttributeError):
        _ = eef_serve.something_else  # type: ignore[attr-defined]
