"""Answers kept on disk, budgets and rate limits, against a real server on a socket."""

import asyncio
import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.errors import AnswerFailure, ConfigError, CorruptFile, EefWarning, PolicyFailure, RunConflict
from eef_framework.interfaces import Sampling
from eef_framework.policies.chat_completions import AnswerBudget, OpenAIPolicy, Prices
from eef_framework.policies.chat_completions.answer_file import AnswerFile, AnswerRow
from eef_framework.policies.chat_completions.meter import RateLimit
from eef_framework.records import Message, Observation
from eef_framework.runs import JsonlFile, read_rows
from eef_framework.testing.server import ChatServer

ROOM = Observation(text="door: 1 east\nkey: not needed")
ASKED = (Message(role="system", content="Open the door."), Message(role="user", content=ROOM.text))
PROMPT, ANSWER = 9, 7
"""Tokens that the server reports for a request."""
SAMPLING = Sampling(temperature=0.0, max_tokens=20)


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


def policy(server, **settings):
    return OpenAIPolicy(**{"model": "test", "base_url": server.url, "retries": 2, "longest_wait_s": 0.01} | settings)


def act(policy, seeds=(1,), sampling=SAMPLING):
    async def all_of_them():
        with policy:
            return await asyncio.gather(*(policy.act(ASKED, ROOM, sampling, seed) for seed in seeds))

    return asyncio.run(all_of_them())


def test_an_answer_that_was_received_is_never_requested_again(server, path):
    first = act(policy(server, answers=path), seeds=(1, 2))
    again = act(policy(server, answers=path), seeds=(1, 2))
    assert len(server.requests) == 2
    assert [each.info.pop("earlier_requests") for each in again] == [1, 1]
    assert again == first


@pytest.mark.parametrize(
    "change", [{"seeds": (2,)}, {"sampling": Sampling(temperature=0.5, max_tokens=20)}, {"model": "other"}]
)
def test_another_seed_sampling_or_model_is_another_request(server, path, change):
    act(policy(server, answers=path))
    model = {name: change.pop(name) for name in list(change) if name == "model"}
    act(policy(server, answers=path, **model), **change)
    assert len(server.requests) == 2


def test_without_a_file_nothing_is_kept(server):
    asked = policy(server)
    act(asked)
    act(asked)
    assert len(server.requests) == 2


def test_policies_of_one_process_share_a_file(server, path):
    async def both():
        with policy(server, answers=path) as one, policy(server, answers=path) as other:
            await one.act(ASKED, ROOM, SAMPLING, 1)
            await other.act(ASKED, ROOM, SAMPLING, 1)
            await other.act(ASKED, ROOM, SAMPLING, 2)
            await one.act(ASKED, ROOM, SAMPLING, 2)

    asyncio.run(both())
    assert len(server.requests) == 2
    assert len(list(read_rows(path, AnswerRow))) == 2


def test_another_process_can_not_write_to_the_same_file(server, path, monkeypatch):
    with JsonlFile(path, AnswerRow):
        monkeypatch.setattr("eef_framework.runs.lock._held", set())  # as in another process
        with pytest.raises(RunConflict) as caught:
            act(policy(server, answers=path))
    assert (caught.value.code, server.requests) == ("in-use", [])


def test_a_file_of_something_else_is_not_touched(server, path):
    path.write_text('{"mine": 1}\n')
    with pytest.raises(CorruptFile):
        act(policy(server, answers=path))
    assert path.read_text() == '{"mine": 1}\n'


def test_a_row_that_was_cut_off_by_a_kill_is_requested_again(server, path):
    act(policy(server, answers=path), seeds=(1, 2))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 30])
    act(policy(server, answers=path), seeds=(1, 2))
    assert len(server.requests) == 3
    act(policy(server, answers=path), seeds=(1, 2))
    assert len(server.requests) == 3


def test_the_key_in_an_answer_is_not_kept(server, path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "k7-very-secret-value")
    server.answer = lambda request: "Action: k7-very-secret-value"
    act(policy(server, answers=path, api_key_env="SOME_KEY"))
    assert "very-secret" not in path.read_text()


def test_an_answer_that_the_server_withheld_is_requested_again(server, path):
    server.fault = lambda request: "filtered" if request.number == 0 else ""
    with pytest.raises(AnswerFailure):
        act(policy(server, answers=path))
    assert act(policy(server, answers=path))[0].text.endswith("go[east]")


def test_lost_requests_stay_counted_after_a_kill(server, path):
    """A kill after lost requests: the next attempt at the answer includes them."""
    server.fault = lambda request: "garbage" if request.number < 3 else ""
    with pytest.raises(AnswerFailure) as caught:
        act(policy(server, answers=path))
    assert caught.value.details["unknown_requests"] == 3
    (response,) = act(policy(server, answers=path))
    assert (response.info["unknown_requests"], response.info["earlier_requests"]) == (3, 3)
    (again,) = act(policy(server, answers=path))
    assert (again.info["unknown_requests"], again.info["earlier_requests"]) == (3, 4)


def test_a_request_that_ends_after_the_file_was_closed_is_not_written(tmp_path):
    """By then, another process may write to it."""
    path = tmp_path / "x.jsonl"
    with AnswerFile.opened(path) as file:
        file.add(AnswerRow(key="a", model="m", answer="{}"))
    before = path.read_bytes()
    file.add(AnswerRow(key="b", model="m"))
    assert path.read_bytes() == before


def test_a_cancelled_request_counts_with_its_longest_answer(server, path):
    async def cancelled():
        server.fault, server.slow_s = lambda request: "slow", 5.0
        with policy(server, answers=path) as asked:
            task = asyncio.create_task(asked.act(ASKED, ROOM, SAMPLING, 1))
            while not server.requests:  # noqa: ASYNC110 - it comes from another thread
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    (row,) = read_rows(path, AnswerRow)
    assert (row.answer, row.estimated, row.completion_tokens) == (None, True, SAMPLING.max_tokens)


# Budgets.


def spend(asked, seeds):
    """Ask one after another until the budget is spent; return the error."""

    async def in_turn():
        with asked:
            for seed in seeds:
                await asked.act(ASKED, ROOM, SAMPLING, seed)

    with pytest.raises(PolicyFailure) as caught:
        asyncio.run(in_turn())
    assert caught.value.code == "budget-spent"
    assert not isinstance(caught.value, AnswerFailure)
    return caught.value


def test_a_budget_of_tokens_stops_before_it_is_exceeded_and_holds_after_a_restart(server, path):
    budget = AnswerBudget(tokens=100)
    error = spend(policy(server, answers=path, budget=budget), range(50))
    sent = len(server.requests)
    assert sent * (PROMPT + ANSWER) == error.details["tokens"] <= 100
    assert error.details["tokens"] + PROMPT + SAMPLING.max_tokens > 80  # no more than the longest answer is left
    spend(policy(server, answers=path, budget=budget), range(100, 150))
    assert len(server.requests) == sent
    assert len(act(policy(server, answers=path, budget=budget), range(sent))) == sent  # these are paid for
    act(policy(server, answers=path, budget=AnswerBudget(tokens=200)), (100,))
    assert len(server.requests) == sent + 1


def test_a_budget_of_money_counts_by_the_prices(server, path):
    prices = Prices(input=1000, cached_input=0, output=2000)
    each = (PROMPT - PROMPT // 2) * 1e-3 + ANSWER * 2e-3
    error = spend(policy(server, answers=path, budget=AnswerBudget(usd=0.2), prices=prices), range(50))
    assert error.details["usd"] == pytest.approx(len(server.requests) * each)
    assert 0 < error.details["usd"] <= 0.2


def test_requests_under_way_end_before_a_spent_budget_stops_the_run(server, path):
    """All are sent at once: those for which there is a budget are answered and kept, and none of the others is sent."""
    server.fault = lambda request: "slow"
    server.slow_s = 0.2
    with pytest.raises(PolicyFailure) as caught:
        act(policy(server, answers=path, budget=AnswerBudget(tokens=150)), range(30))
    assert caught.value.code == "budget-spent"
    rows = list(read_rows(path, AnswerRow))
    assert len(rows) == len(server.requests)
    assert all(row.answer and not row.estimated for row in rows)
    assert sum(row.prompt_tokens + row.completion_tokens for row in rows) <= 150


@pytest.mark.parametrize("fault", ["die", "garbage", "slow", "no-usage"])
def test_what_may_have_cost_something_counts_with_the_longest_answer(server, path, fault):
    server.fault, server.slow_s = lambda request: fault, 1.0
    asked = policy(server, answers=path, budget=AnswerBudget(tokens=10_000), timeout_s=0.3, retries=0)
    expected = pytest.warns(EefWarning) if fault == "no-usage" else pytest.raises(AnswerFailure)
    with expected:
        act(asked)
    (row,) = read_rows(path, AnswerRow)
    assert row.estimated
    assert (row.completion_tokens, row.prompt_tokens > 0) == (SAMPLING.max_tokens, True)


@pytest.mark.parametrize("fault", ["429", "500"])
def test_refused_requests_cost_nothing(server, path, fault):
    server.fault = lambda request: fault
    with pytest.raises(AnswerFailure):
        act(policy(server, answers=path))
    assert not path.exists()


def test_a_budget_of_money_needs_prices(server):
    with pytest.raises(ConfigError) as caught:
        policy(server, budget={"usd": 3})
    assert caught.value.code == "budget-without-prices"


# Rate limits.


def test_requests_are_spaced_by_the_rate_limit(server):
    asked = policy(server, requests_per_minute=1200)  # one in 50 ms
    began = time.monotonic()
    act(asked, range(5))
    assert time.monotonic() - began >= 0.19  # 4 intervals; a busy machine takes longer
    assert len(server.requests) == 5


def test_tokens_are_spaced_by_the_rate_limit(server):
    asked = policy(server, tokens_per_minute=60_000)

    async def in_turn():
        with asked:
            for seed in range(6):
                await asked.act(ASKED, ROOM, SAMPLING, seed)

    began = time.monotonic()
    asyncio.run(in_turn())
    assert time.monotonic() - began >= 5 * (PROMPT + ANSWER) * 60 / 60_000 - 0.01


@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=40), st.integers(1, 1000))
def test_no_more_than_the_limit_is_let_through(amounts, per_minute):
    limit = RateLimit(per_minute)
    waits = [limit.take(amount) for amount in amounts]
    used = [0.0, *itertools.accumulate(amounts)]
    for wait, before in zip(waits, used, strict=False):
        assert wait >= before * 60 / per_minute - 1.0  # the test itself takes time
    assert waits == sorted(waits)


# The file.

ROWS = st.lists(
    st.builds(
        AnswerRow,
        key=st.sampled_from("abc"),
        model=st.just("m"),
        answer=st.sampled_from([None, json.dumps({"choices": [{"message": {"content": "x"}}]})]),
        prompt_tokens=st.integers(0, 100),
        completion_tokens=st.integers(0, 100),
        usd=st.floats(0, 1),
        estimated=st.booleans(),
    ),
    max_size=10,
)


@given(rows=ROWS)
def test_a_file_that_is_opened_again_has_the_same_answers_and_costs(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("answers") / "x.jsonl"
    with AnswerFile.opened(path) as file:
        for row in rows:
            file.add(row)
        before = file.spent, file.estimated, file.requests, {key: file.earlier(key) for key in "abc"}
    with AnswerFile.opened(path) as file:
        assert (file.spent, file.estimated, file.requests, {key: file.earlier(key) for key in "abc"}) == before
    assert before[0].tokens == sum(row.prompt_tokens + row.completion_tokens for row in rows)
