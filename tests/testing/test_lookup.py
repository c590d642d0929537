import asyncio
from pathlib import Path

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.interfaces import Policy, Sampling
from eef_framework.records import Checkpoint, Example, Message, Observation, TrainResult
from eef_framework.rollout import demonstrations
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.lookup import LookupPolicy, LookupTrainer

SEEN = Observation(text="a room", actions=("go", "stay"))


def example(*turns: tuple[str, str, float], name: str = "x") -> Example:
    messages = []
    for asked, answered, weight in turns:
        messages += [Message(role="user", content=asked), Message(role="assistant", content=answered, weight=weight)]
    return Example(id=name, messages=tuple(messages))


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return LookupPolicy().initial_checkpoint([], tmp_path / "base", 0)


def train(base: Checkpoint, *examples: Example, into: str = "new", **settings) -> tuple[Checkpoint, TrainResult]:
    output = base.path.parent / into
    result = LookupTrainer(**settings).train(list(examples), base, output, 0, lambda *told: None)
    return Checkpoint(path=output), result


def act(policy: Policy, asked: str, temperature: float = 0.0, seed: int = 0) -> str:
    conversation = (Message(role="user", content=asked),)
    return asyncio.run(policy.act(conversation, SEEN, Sampling(temperature=temperature), seed)).text


def test_a_base_knows_nothing(base):
    assert base.name == "base"
    assert base.read_json() == {}
    assert {act(LookupPolicy().load(base), "a room", seed=seed) for seed in range(20)} == {"Action: go", "Action: stay"}


def test_weighted_turns_are_learned_and_others_are_not(base):
    checkpoint, result = train(base, example(("a", "left", 0.0), ("b", "right", 1.0)))
    assert checkpoint.read_json() == {"b": {"right": 1.0}}
    assert result.trained_tokens == 1
    assert act(LookupPolicy().load(checkpoint), "b") == "right"


def test_the_heaviest_answer_wins_at_temperature_zero(base):
    checkpoint, _ = train(base, example(("a", "left", 1.0)), example(("a", "right", 2.5)))
    assert act(LookupPolicy().load(checkpoint), "a") == "right"


def test_answers_are_drawn_by_weight_at_temperature_one(base):
    checkpoint, _ = train(base, example(("a", "left", 1.0)), example(("a", "right", 3.0)))
    policy = LookupPolicy(epsilon=0.0).load(checkpoint)
    right = [act(policy, "a", 1.0, seed) for seed in range(400)].count("right")
    assert 270 <= right <= 330


def test_it_strays_in_proportion_to_the_temperature(base):
    checkpoint, _ = train(base, example(("a", "left", 1.0)))
    policy = LookupPolicy(epsilon=0.5).load(checkpoint)
    strayed = [sum(act(policy, "a", heat, seed) != "left" for seed in range(400)) for heat in (0.0, 0.5, 1.0)]
    assert strayed[0] == 0
    assert 70 <= strayed[1] <= 130
    assert 160 <= strayed[2] <= 240


def test_training_goes_on_from_a_checkpoint(base):
    first, _ = train(base, example(("a", "left", 1.0)), into="first")
    both, _ = train(first, example(("b", "right", 1.0)), into="both")
    assert both.read_json() == {"a": {"left": 1.0}, "b": {"right": 1.0}}
    assert first.read_json() == {"a": {"left": 1.0}}


def test_earlier_weights_can_fade(base):
    first, _ = train(base, example(("a", "left", 1.0)), into="first")
    faded, _ = train(first, example(("a", "right", 1.0)), into="faded", decay=0.5)
    assert faded.read_json() == {"a": {"left": 0.5, "right": 1.0}}


def test_equal_tables_are_equal_files(base):
    turns = [example(("a", "left", 1.0)), example(("b", "right", 1.0))]
    one, _ = train(base, *turns, into="one")
    other, _ = train(base, *reversed(turns), into="other")
    assert (one.path / "checkpoint.json").read_bytes() == (other.path / "checkpoint.json").read_bytes()


def test_the_loss_falls(base):
    _, result = train(base, *[example(("a", "left", 1.0))] * 3)
    assert result.losses[0] > 4
    assert result.losses[1:] == (0.0, 0.0)


def test_progress_is_reported(base):
    told = []
    LookupTrainer().train([example(("a", "b", 1.0))] * 2, base, base.path, 0, lambda *said: told.append(said[:2]))
    assert told == [(1, 2), (2, 2)]


def test_cloning_the_corridor_experts_successes_beats_answering_at_random(base):
    environment, words = Corridor(tasks_per_split=60), ChatFormat(history=1)

    async def demonstrate() -> list[Example]:
        tasks = environment.tasks("train")
        played = [trajectory async for trajectory in demonstrations(CorridorExpert(), environment, tasks, 0)]
        won = [trajectory for trajectory in played if trajectory.reward == 1.0]
        return [e for t in won for e in words.examples(t, [1.0] * len(t.steps), environment.instructions, "expert")]

    def successes(policy: Policy) -> int:
        won = 0
        for task in environment.tasks("test"):
            session = environment.open(task)
            while not session.done:
                prompt = words.conversation(environment.instructions, session.initial, session.steps)
                answer = asyncio.run(policy.act(prompt, session.observation, Sampling(temperature=0.0), 0))
                session.step(words.parse(answer.text, session.observation).action)
            won += session.reward == 1.0
        return won

    clone, _ = train(base, *asyncio.run(demonstrate()))
    assert successes(LookupPolicy().load(base)) < 20 < 35 < successes(LookupPolicy().load(clone))
