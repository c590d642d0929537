"""An expert on a server that fails one request in five, in every way, in processes that are killed and resumed."""

import collections
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from eef_framework.policies.chat_completions.answer_file import AnswerRow
from eef_framework.records import Trajectory
from eef_framework.runs import read_rows
from eef_framework.testing.corridor import best_action
from eef_framework.testing.server import ChatServer

FAULTS = ("500", "429", "hang-up", "garbage", "empty", "no-choices", "slow", "die")
REFUSED = ("500", "429")
TASKS, CONCURRENCY, LIMIT, TIMEOUT_S = 200, 8, 20, 3.0


class UnreliableServer(ChatServer):
    """Fails one request in five, and counts what it would charge for. Its answers tell the number of their request."""

    def __init__(self):
        super().__init__(self.numbered, self.drawn)
        self.slow_s = 2 * TIMEOUT_S
        self.reached = {}
        """Number of a request -> called when it arrives."""

    def numbered(self, request):
        """Answer rightly, with the number of the request."""
        return f"Thought: {request.number}.\nAction: {best_action(request.last_message)}"

    def drawn(self, request):
        """Return the fault of a request, by its number alone."""
        self.reached.pop(request.number, lambda: None)()
        draw = random.Random(request.number)
        return draw.choice(FAULTS) if draw.random() < 0.2 else ""

    def charged(self):
        """Return the tokens of all requests that weren't refused."""
        return sum(
            prompt_words(request) + len(self.numbered(request).split())
            for request in self.requests
            if self.drawn(request) not in REFUSED
        )


def prompt_words(request):
    return sum(len(message["content"].split()) for message in request.body["messages"])


def asked(request):
    """Return what identifies a request."""
    return json.dumps(request.body, sort_keys=True)


class Collecting:
    """`eef collect` in a process of its own, repeated with the same files."""

    def __init__(self, folder, server):
        self.server = server
        self.out = folder / "demonstrations.jsonl"
        self.answers = folder / "answers.jsonl"
        settings = {
            "environment": {"name": "corridor", "tasks_per_split": TASKS},
            "expert": {
                "name": "openai",
                "model": "test",
                "base_url": server.url,
                "retries": 12,
                "longest_wait_s": 0.02,
                "timeout_s": TIMEOUT_S,
                "max_tokens": LIMIT,
                "concurrency": CONCURRENCY,
                "answers": str(self.answers),
            },
        }
        self.config = folder / "own.yaml"
        self.config.write_text(json.dumps(settings))

    def start(self, *options):
        """Start the process."""
        main = "from eef_framework.cli.main import main; main()"
        command = [sys.executable, "-c", main, "collect", str(self.config), "--out", str(self.out)]
        environment = os.environ | {"EEF_PLUGINS": "eef_framework.testing.plugin,experts", "COLUMNS": "200"}
        return subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True)

    def end(self, *options):
        """Run the process to its end; return its exit code and what it says."""
        process = self.start(*options)
        _, said = process.communicate(timeout=300)
        return process.returncode, said

    def kill_after(self, requests, *options):
        """Kill the process when the server has received so many more requests."""
        process, server = self.start(*options), self.server
        server.reached[len(server.requests) + requests] = lambda: os.kill(process.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, said

    def received(self):
        """Return the numbers of the requests whose answers were kept."""
        texts = (json.loads(row.answer) for row in read_rows(self.answers, AnswerRow) if row.answer)
        said = (document["choices"][0]["message"]["content"] for document in texts)
        return {int(text.split()[1].rstrip(".")) for text in said}


@pytest.mark.slow
def test_no_answer_is_paid_for_twice_and_the_budget_holds_through_five_kills(tmp_path):
    with UnreliableServer() as server:
        run = Collecting(tmp_path, server)
        budget = "expert.budget.tokens=60000"
        known = []
        for _ in range(5):
            run.kill_after(120, "--set", budget)
            known.append((len(server.requests), run.received()))
        code, said = run.end("--set", budget)
        assert code == 1
        assert "budget" in said
        # Only what was under way when the process was killed isn't in the file.
        longest = max(map(prompt_words, server.requests)) + LIMIT
        assert 60000 - 20 * longest < server.charged() <= 60000 + 5 * CONCURRENCY * longest
        known.append((len(server.requests), run.received()))
        code, said = run.end("--set", "expert.budget.tokens=10000000")
        assert code == 0, said

    rows = list(read_rows(run.out, Trajectory))
    assert len(rows) == len({row.task.id for row in rows}) == TASKS
    assert {(row.ending, row.reward) for row in rows} == {("terminated", 1.0)}

    # No received answer was requested again.
    for sent, received in known:
        have = {asked(server.requests[number]) for number in received}
        assert not have & {asked(request) for request in server.requests[sent:]}

    # A kill repeats at most the requests under way: those that were answered well, and answered well again.
    answered = collections.Counter(asked(each) for each in server.requests if not server.drawn(each))
    repeated = sum(count - 1 for count in answered.values())
    assert repeated <= 5 * CONCURRENCY

    # Every step has the answer that was kept.
    steps = [step.response.text for row in rows for step in row.steps]
    assert len(steps) == len(set(steps)) == len(answered)

    # The costs of the rows are those that the server reported.
    kept = {row.answer: row for row in read_rows(run.answers, AnswerRow) if row.answer}
    tokens = sum(row.prompt_tokens + row.completion_tokens - row.cached_tokens for row in kept.values())
    assert sum(step.response.computed_tokens for row in rows for step in row.steps) == tokens
