"""Plays episodes with the agent of verifiers, and prints what it saw as JSON. Run by `test_verifiers_taskset`.

Usage: verifiers_player.py TASKS CONFIGURATION..., each configuration the JSON of a taskset's configuration.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf
from eef_serve.testing import running
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from verifiers.v1.utils.loaders import load_environment, resolve_env_config


def model() -> FastAPI:
    """Return an OpenAI-compatible model that streams, and always takes the right action."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> StreamingResponse:
        from eef_framework.testing.corridor import best_action

        seen = (await request.json())["messages"][-1]["content"]
        answer = f"Thought: the door.\nAction: {best_action(seen)}"
        return StreamingResponse(_events(answer), media_type="text/event-stream")

    return app


def _events(answer: str) -> Iterator[str]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    for delta, reason in (({"role": "assistant", "content": answer}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        yield f"data: {json.dumps(head | {'choices': [choice], 'usage': usage if reason else None})}\n\n"
    yield "data: [DONE]\n\n"


async def play(count: int, taskset: dict[str, Any], address: str) -> list[dict[str, Any]]:
    """Play the first tasks of a taskset, and return what is recorded of them."""
    client = vf.EvalClientConfig(base_url=f"{address}/v1", api_key_var="KEY_OF_TESTS")
    context = vf.ModelContext(model="m", client=client)
    config = resolve_env_config({"taskset": {"id": "eef-serve", **taskset}})
    environment, found = load_environment(config), []
    async with environment.serving():
        for task in environment.taskset.take(count):
            (slot,) = environment.slots(task)
            episode = await environment.run_slot(slot, context)
            (trace,) = episode.traces or (None,)
            found.append(
                {
                    "ok": episode.ok,
                    "task": task.data.id,
                    "errors": [error.message for error in episode.errors],
                    "rewards": {name: reward.score for name, reward in trace.rewards.items()} if trace else {},
                    "metrics": trace.metrics if trace else {},
                    "messages": [[each.role, each.content] for each in trace.messages] if trace else [],
                }
            )
    return found


if __name__ == "__main__":
    os.environ["KEY_OF_TESTS"] = "a-key"
    tasks, *configurations = sys.argv[1:]
    with running(model()) as server:
        print(json.dumps([asyncio.run(play(int(tasks), json.loads(each), server.url)) for each in configurations]))
