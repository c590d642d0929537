"""Do episodes survive servers that others wrote? An expert on `transformers serve`, or on any server that runs already.

The expert `openai` plays tasks of the corridor, a small text environment, with the model of the server. No episode
may be lost; the tokens in the trajectories must be those that the server reported; the prompts must have as many tokens
as the model's own tokenizer makes of them, where it is known; and playing the same tasks again must send no request,
because all answers are on disk.

    python benchmarks/chat_servers.py                                  # transformers serve, smollm2-135m
    python benchmarks/chat_servers.py --python ENV/bin/python          # the server from another environment
    python benchmarks/chat_servers.py --url http://localhost:8000/v1 --model NAME --tokenizer FOLDER
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common import arguments, finish, skip, table

from eef_framework import Trajectory, load_plugins
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.interfaces import Expert
from eef_framework.models.finding import find_model
from eef_framework.policies.loading import load_tokenizer
from eef_framework.policies.tiny import TinyModel
from eef_framework.records import Message
from eef_framework.rollout import demonstrations
from eef_framework.testing.corridor import Corridor

START_S = 300
"""How long a server may take to load the model."""


def main() -> None:
    args = arguments(
        __doc__,
        {"model": "tiny", "episodes": 3, "max_steps": 2, "max_tokens": 8},
        url=("", "a server that runs already"),
        model=("smollm2-135m", "its model; for transformers serve, what policy.model takes, or `tiny`"),
        tokenizer=("", "folder of the model's tokenizer; that of the model if left out"),
        python=(sys.executable, "interpreter that has transformers[serving]"),
        episodes=(20, "episodes"),
        max_steps=(4, "longest episode, in actions"),
        max_tokens=(24, "longest answer"),
        concurrency=(4, "episodes at once"),
    )
    shutil.rmtree(args.folder, ignore_errors=True)
    args.folder.mkdir(parents=True)
    if args.url:
        report = measured(args, args.url, args.model, args.tokenizer)
    else:
        folder = str(tiny(args.folder / "tiny") if args.model == "tiny" else find_model(args.model))
        with serving(args.python, folder, args.folder / "server.log") as url:
            report = measured(args, url, folder, args.tokenizer or folder)
    rows = [[name.replace("_", " "), value] for name, value in report.items()]
    checks = {
        "no episode is lost": report["lost"] == 0 and report["episodes"] == args.episodes,
        "tokens are those that the server reported": report["tokens"] == report["tokens_reported"],
        "prompts are as long as the model's tokenizer makes them": report["prompts_of_other_length"] in (0, None),
        "playing again sends no request": report["requests_again"] == 0 and report["equal_again"],
    }
    finish(args, report, table(["", ""], rows), checks)


def measured(args: Any, url: str, model: str, tokenizer: str) -> dict[str, Any]:
    """Play, and play again; return the figures."""
    answers = args.folder / "answers.jsonl"
    settings = {"name": "openai", "model": model, "base_url": url, "answers": str(answers), "temperature": 0.0}
    settings |= {"max_tokens": args.max_tokens, "concurrency": args.concurrency, "stop": [], "timeout_s": 600.0}
    expert = load_plugins(["experts"]).build("expert", settings)
    environment = Corridor(max_steps=args.max_steps, tasks_per_split=args.episodes)
    began = time.monotonic()
    played = asyncio.run(play(expert, environment))
    seconds = time.monotonic() - began
    bodies = [json.loads(json.loads(line)["answer"] or "{}") for line in answers.read_text().splitlines()]
    again = asyncio.run(play(expert, environment))
    turns = [step.response for row in played for step in row.steps if step.response is not None]
    reported = [body["usage"] for body in bodies if body]
    return {
        "model": model,
        "episodes": len(played),
        "lost": sum(row.lost for row in played),
        "turns": len(turns),
        "seconds": round(seconds, 1),
        "tokens": sum(turn.prompt_tokens + int(str(turn.info.get("completion_tokens", 0))) for turn in turns),
        "tokens_reported": sum(usage["prompt_tokens"] + usage["completion_tokens"] for usage in reported),
        "prompts_of_other_length": other_lengths(expert, environment, played, tokenizer) if tokenizer else None,
        "requests_again": len(answers.read_text().splitlines()) - len(bodies),
        "equal_again": texts(again) == texts(played),
    }


def tiny(folder: Path) -> Path:
    """Make a model with random weights that knows the words of the corridor."""
    corridor = Corridor()
    texts = [corridor.instructions, *(corridor.open(task).initial.text for task in corridor.tasks("train"))]
    return TinyModel().build([tuple(Message(role="user", content=text) for text in texts)], folder, 0).path


async def play(expert: Expert, environment: Corridor) -> list[Trajectory]:
    """Return the demonstrations of all tasks, by id."""
    found = [row async for row in demonstrations(expert, environment, environment.tasks("train"), 0)]
    return sorted(found, key=lambda row: row.id)


def texts(rows: Sequence[Trajectory]) -> list[list[str]]:
    """Return the answers of each episode."""
    return [[step.response.text for step in row.steps if step.response] for row in rows]


def other_lengths(expert: Any, environment: Corridor, played: Sequence[Trajectory], tokenizer: str) -> int:
    """Return the number of turns whose prompt has another length than the model's own tokenizer says."""
    chat, other = ChatTokenizer(load_tokenizer(tokenizer)), 0
    for row in played:
        for number, step in enumerate(row.steps):
            conversation = expert.format().conversation(environment.instructions, row.initial, row.steps[:number])
            other += step.response is not None and len(chat.prompt_ids(conversation)) != step.response.prompt_tokens
    return other


@contextmanager
def serving(python: str, folder: str, log: Path) -> Iterator[str]:
    """Run `transformers serve`; end as skipped if it isn't installed."""
    check = [python, "-c", "import fastapi, uvicorn, transformers.cli.serve"]
    if subprocess.run(check, capture_output=True).returncode:
        skip(f"{python} has no transformers[serving]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-c", "from transformers.cli.transformers import main; main()", "serve", folder]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"], stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_S
        while not answers(f"{url}/health"):
            if server.poll() is not None or time.monotonic() > end:
                sys.exit(f"failed: transformers serve didn't start, see {log}")
            time.sleep(0.5)
        yield f"{url}/v1"
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()


def answers(url: str) -> bool:
    """Return whether something answers at an address."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
