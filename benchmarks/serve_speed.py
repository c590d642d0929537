"""What does serving an environment cost? Steps over HTTP beside requests to an endpoint that does nothing.

A server of its own process (`eef serve`) holds many sessions of the generated shop, or of WebShop's products; clients
step them round robin, a few requests at a time. In WebShop, each session searches for its own instruction and goes
back, by turns. The peer is the same server software with an endpoint that reads a body of the same form and answers
with a constant of the mean size. Both run in turns, in one run; the ratio is what counts; on a busy
machine, the server's processor time for a request says more.

    python benchmarks/serve_speed.py
    python benchmarks/serve_speed.py --world webshop
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from common import arguments, eef_command, finish, settings, shared_data, spread, table

TOKEN = "a-token-of-the-benchmark"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PEER = """
import sys
import uvicorn
from fastapi import FastAPI, Response
from eef_serve.access import Access
from eef_serve.wire import StepRequest
app = FastAPI()
app.add_middleware(Access, tokens={"client": sys.argv[1]}, body=4_000_000)
content = b"x" * int(sys.argv[2])
@app.post("/v1/sessions/{id}/step")
async def step(id: str, body: StepRequest) -> Response:
    return Response(content, media_type="application/json")
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(f"nothing on http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}", flush=True)
config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", access_log=False, ws="none", timeout_keep_alive=60)
Server(config).run()
"""

Request = Callable[[httpx.AsyncClient, int], Awaitable[None]]


def main() -> None:
    args = arguments(
        __doc__,
        {"sessions": 50, "steps": 400, "turns": 1},
        world=("shop", "the environment: shop or webshop"),
        data=(None, "WebShop's products; the 1,000 of the shared data", Path),
        sessions=(1000, "sessions that are open at a time"),
        steps=(4000, "requests per turn"),
        turns=(5, "how often both are measured, by turns"),
        at_once=(8, "requests under way at a time"),
    )
    options = settings([f"data={args.data or shared_data('webshop-1k')}"]) if args.world == "webshop" else []
    serve = eef_command("serve", args.world, *options, "--port", 0, "--sessions", args.sessions + 1, program="eef")
    with server(serve) as (url, process):
        shop = Shop(args.sessions, searching=args.world == "webshop")
        size = asyncio.run(shop.open(url))
        with server([sys.executable, "-c", PEER, TOKEN, str(size)]) as (peer_url, peer):
            found: dict[str, list[dict[str, float]]] = {"eef serve": [], "nothing": []}
            for turn in range(args.turns):
                if turn:
                    asyncio.run(shop.open(url))
                found["eef serve"].append(asyncio.run(measured(url, process, shop.step, args)))
                found["nothing"].append(asyncio.run(measured(peer_url, peer, nothing, args)))
    rates = {name: spread([turn["per_s"] for turn in turns]) for name, turns in found.items()}
    late = {name: spread([turn["p99_ms"] for turn in turns]) for name, turns in found.items()}
    busy = {name: spread([turn["processor_ms"] for turn in turns]) for name, turns in found.items()}
    ratios = spread([a["per_s"] / b["per_s"] for a, b in zip(*found.values(), strict=True)])
    rows = [
        (name, f"{rates[name]['median']:.0f}", f"{late[name]['median']:.1f}", f"{busy[name]['median']:.2f}")
        for name in found
    ]
    text = table(["", "requests/s", "p99, ms", "server's processor time, ms/request"], rows)
    between = f"{ratios['least']:.2f} to {ratios['greatest']:.2f}"
    text += f"\n\nratio {ratios['median']:.2f} ({between}), {args.sessions} sessions open"
    report = {
        "world": args.world,
        "rates": rates,
        "p99_ms": late,
        "ratio": ratios,
        "sessions": args.sessions,
        "answer_bytes": size,
    }
    finish(args, report, text, {"every session was opened and stepped": shop.stepped >= args.steps * args.turns})


class Shop:
    """Sessions of the shop on the server.

    Args:
        count: how many.
        searching: whether they search, or only look.
    """

    def __init__(self, count: int, searching: bool) -> None:
        self.count, self.searching = count, searching
        self.actions: list[tuple[str, ...]] = []
        self.sessions: list[str] = []
        self.turns: dict[str, asyncio.Lock] = {}
        self.stepped = 0

    async def open(self, url: str) -> int:
        """Open new sessions in place of the former ones, and return the mean size of a step's answer in bytes."""
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60, trust_env=False) as client:
            for session in self.sessions:
                (await client.delete(f"/v1/sessions/{session}")).raise_for_status()
            self.sessions, self.actions = [], []
            tasks = (await client.get("/v1/tasks")).raise_for_status().json()["tasks"]
            for index in range(self.count):
                task = tasks[index % len(tasks)]
                body = {"split": "train", "task": task["id"]}
                search = f"search[{task['instruction']}]"
                self.actions.append((search, "click[back to search]") if self.searching else ("look",))
                self.sessions.append(
                    (await client.post("/v1/sessions", json=body)).raise_for_status().json()["session"]
                )
            self.turns = {session: asyncio.Lock() for session in self.sessions}
            fork = (await client.post(f"/v1/sessions/{self.sessions[0]}/fork")).raise_for_status().json()["session"]
            sizes = []
            for at, action in enumerate(self.actions[0]):
                answer = await client.post(f"/v1/sessions/{fork}/step", json={"at": at, "action": action})
                step = answer.raise_for_status().json()["step"]
                if self.searching and not step["valid"]:
                    sys.exit(f"the environment doesn't take {action!r}")
                sizes.append(len(answer.content))
            (await client.delete(f"/v1/sessions/{fork}")).raise_for_status()
            return sum(sizes) // len(sizes)

    async def step(self, client: httpx.AsyncClient, index: int) -> None:
        """Step the sessions one after another: a step waits for the session's one before, however late that is."""
        session, at = self.sessions[index % self.count], index // self.count
        actions = self.actions[index % self.count]
        body = {"at": at, "action": actions[at % len(actions)]}
        async with self.turns[session]:
            (await client.post(f"/v1/sessions/{session}/step", json=body)).raise_for_status()
        self.stepped += 1


async def nothing(client: httpx.AsyncClient, index: int) -> None:
    """Ask the endpoint that does nothing."""
    (await client.post(f"/v1/sessions/{index}/step", json={"at": index, "action": "look"})).raise_for_status()


async def measured(url: str, process: psutil.Process, request: Request, args: Any) -> dict[str, float]:
    """Return requests per second, the 99th percentile of their times, and the server's processor time, in ms."""
    times: list[float] = []
    waiting = iter(range(args.steps))

    async def work(client: httpx.AsyncClient) -> None:
        for index in waiting:
            began = time.perf_counter()
            await request(client, index)
            times.append(time.perf_counter() - began)

    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60, trust_env=False) as client:
        before = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        await asyncio.gather(*(work(client) for _ in range(args.at_once)))
        duration = time.perf_counter() - began
        processor = sum(process.cpu_times()[:2]) - before
    return {
        "per_s": args.steps / duration,
        "p99_ms": 1000 * sorted(times)[int(0.99 * len(times))],
        "processor_ms": 1000 * processor / args.steps,
    }


@contextmanager
def server(command: list[str]) -> Any:
    """Start a server, yield its address and its process, and stop it."""
    environment = {**os.environ, "EEF_SERVE_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if " on http" not in line:
                sys.exit(f"the server doesn't start: {line}")
            yield line.split(" on ")[1].strip(), psutil.Process(process.pid)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
