"""Episodes on servers with a batch and on environment workers, simulated by events. Times are in seconds."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Speed:
    """Seconds: of a decoding step, `base + each * sequences`, and of a prompt's new token, which stops decoding."""

    base: float
    each: float
    prompt: float
    batch: int


@dataclass(frozen=True)
class Episode:
    """What an episode asks for."""

    prompts: Sequence[float]  # new tokens of each turn
    answers: Sequence[float]  # tokens of each turn
    replayed: int = 0  # steps of the environment before the first turn


class Server:
    """One GPU. All sequences of its batch get a token per step; others wait in line."""

    def __init__(self, speed: Speed) -> None:
        self.speed = speed
        self.now = self.decoded = self.pause = self.busy = self.tokens = 0.0  # decoded: tokens of each sequence
        self.running: list[tuple[float, int]] = []  # value of `decoded` at which the answer is complete, episode
        self.waiting: deque[tuple[int, float, float]] = deque()
        self.episodes = self.version = 0

    def step_s(self) -> float:
        """Return how long a step of decoding takes."""
        return self.speed.base + self.speed.each * len(self.running)

    def advance(self, now: float) -> None:
        """Serve until `now`."""
        passed, self.now = now - self.now, now
        if self.running:
            self.busy += passed
            paused = min(self.pause, passed)
            self.pause -= paused
            steps = (passed - paused) / self.step_s()
            self.decoded += steps
            self.tokens += steps * len(self.running)

    def ask(self, *request: Any) -> None:
        """Add a request: episode, new tokens of the prompt, tokens of the answer."""
        self.waiting.append(request)
        self.admit()

    def admit(self) -> None:
        """Fill the batch."""
        while self.waiting and len(self.running) < self.speed.batch:
            episode, prompt, answer = self.waiting.popleft()
            self.pause += prompt * self.speed.prompt
            heapq.heappush(self.running, (self.decoded + answer, episode))

    def answered(self) -> list[int]:
        """Return the episodes whose answers are complete, at the time when one is due, and fill the batch."""
        self.decoded = max(self.decoded, self.running[0][0])  # rounding could leave it a little below, for ever
        done = []
        while self.running and self.running[0][0] <= self.decoded + 1e-6:
            done.append(heapq.heappop(self.running)[1])
        self.admit()
        return done

    def due(self) -> float:
        """Return when the next answer is complete, if nothing is added."""
        return self.now + self.pause + max(0.0, self.running[0][0] - self.decoded) * self.step_s()


@dataclass(frozen=True)
class Played:
    """Seconds since the start, except where it says otherwise."""

    end: float
    begun: float  # when the last episode began
    busy: float  # of all servers
    worked: float  # of all workers
    tokens: float  # answered


def simulate(
    episodes: Sequence[Episode], speed: Speed, gpus: int, workers: int, in_flight: int, step_s: float, reset_s: float
) -> Played:
    """Play episodes: each on the server with the fewest, its steps on the first worker that is free.

    Args:
        episodes: in the order in which they begin.
        speed: of each server.
        gpus: number of servers.
        workers: that step environments, for all servers together.
        in_flight: episodes under way for each server.
        step_s: a worker's time for a step.
        reset_s: and for a reset.
    """
    servers = [Server(speed) for _ in range(gpus)]
    free = [0.0] * workers
    home: dict[int, Server] = {}
    turn = [-1] * len(episodes)
    coming = iter(range(len(episodes)))
    events: list[tuple[float, int, Server | None, int]] = []  # time, order, server, its version or an episode
    made = 0
    end = begun = worked = now = 0.0

    def push(time: float, server: Server | None, which: int) -> None:
        nonlocal made
        made += 1
        heapq.heappush(events, (time, made, server, which))

    def work(episode: int, seconds: float) -> None:
        nonlocal worked
        worked += seconds
        finished = max(now, heapq.heappop(free)) + seconds
        heapq.heappush(free, finished)
        push(finished, None, episode)

    def begin() -> None:
        nonlocal begun
        if (episode := next(coming, None)) is not None:
            begun = now
            home[episode] = min(servers, key=lambda server: server.episodes)
            home[episode].episodes += 1
            work(episode, reset_s + episodes[episode].replayed * step_s)

    def schedule(server: Server) -> None:
        server.version += 1
        if server.running:
            push(server.due(), server, server.version)

    for _ in range(in_flight * gpus):
        begin()
    while events:
        now, _, server, which = heapq.heappop(events)
        if server is None:  # the environment answered
            turn[which] += 1
            server, played = home[which], episodes[which]
            if turn[which] == len(played.answers):
                server.episodes -= 1
                end = now
                begin()
            else:
                server.advance(now)
                server.ask(which, played.prompts[turn[which]], played.answers[turn[which]])
                schedule(server)
        elif which == server.version:
            server.advance(now)
            for episode in server.answered():
                work(episode, step_s)
            schedule(server)
    return Played(end, begun, sum(s.busy for s in servers), worked, sum(s.tokens for s in servers))


def closed_formula(speed: Speed, waves: int, turns: int, prompt: float, answer: float) -> float:
    """Return how long equal episodes take, if a server's batch is full all the time."""
    step = speed.base + speed.each * speed.batch
    return waves * turns * (speed.batch * prompt * speed.prompt + answer * step)
