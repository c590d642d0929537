"""Does ScienceWorld run where nobody installed Java? One task is solved by the expert `sciworld-gold`.

For a fresh virtual environment, with nothing on the PATH:

    python3 -m venv fresh
    fresh/bin/pip install torch==2.13.0
    fresh/bin/pip install -c constraints.txt -e . -e plugins/eef-sciworld
    env -i PATH=/nonexistent fresh/bin/python benchmarks/sciworld_install.py

Prints which Java it was, and the score. Exits with 1 unless that is 100.
"""

from __future__ import annotations

import asyncio
import shutil
import sys

from eef_framework.plugins import load_plugins


def main() -> None:
    from eef_sciworld.launch import find_java

    registry = load_plugins()
    environment = registry.build("environment", {"name": "sciworld", "types": ["find-living-thing"], "slots": 1})
    expert = registry.build("expert", {"name": "sciworld-gold"})
    print(f"java on the PATH: {shutil.which('java')}; used: {find_java()}")
    with environment:
        trajectory = asyncio.run(first(expert, environment))
    score = trajectory.steps[-1].info["score"] if trajectory.steps else trajectory.error
    print(f"task {trajectory.task.id}: {len(trajectory.steps)} steps, score {score}")
    sys.exit(score != 100)


async def first(expert, environment):
    async for trajectory in expert.demonstrate(environment, environment.tasks("test")[:1], 0):
        return trajectory


if __name__ == "__main__":
    main()
