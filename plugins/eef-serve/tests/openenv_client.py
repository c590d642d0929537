"""Plays with the client of openenv-core, and prints what it saw as JSON. Run by `test_openenv_client`.

Usage: openenv_client.py URL ACTION...
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from openenv.core import GenericEnvClient


async def main(url: str, actions: list[str]) -> None:
    """Play the task of seed 3 twice, cause two errors, and leave without closing."""
    seen: list[Any] = []
    async with GenericEnvClient(url) as client:
        for _ in range(2):
            results = [await client.reset(seed=3, episode_id="mine")]
            results += [await client.step({"action": action}) for action in actions]
            seen.append([[each.observation, each.reward, each.done] for each in results])
        state = await client.state()
        errors = []
        for action in ({"action": "more"}, {"message": "x"}):
            try:
                await client.step(action)
            except RuntimeError as error:
                errors.append(str(error))
        restored = await client.reset(task=state["task"], actions=actions[:1])
        seen.append([restored.observation, restored.reward, restored.done])
    gone = GenericEnvClient(url)
    await gone.reset()
    print(json.dumps({"seen": seen, "state": state, "errors": errors}))
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
