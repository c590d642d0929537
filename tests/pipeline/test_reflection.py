"""Self-reflection: a language model writes why the expert's action is better, and that is learned as a thought."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from typer.testing import CliRunner

from eef_framework.chat.format import ChatFormat
from eef_framework.cli.main import app
from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import AnswerFailure, ConfigError, EefWarning, NothingToTrain, PolicyFailure
from eef_framework.interfaces import Policy, Sampling
from eef_framework.pipeline import run, variants
from eef_framework.pipeline.plan import plan
from eef_framework.pipeline.reflection import Reflecting, comparisons, count_without_action, is_usable
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import (
    Conversation,
    Example,
    Observation,
    Response,
    RunMetrics,
    Step,
    SuccessRule,
    Task,
    Trajectory,
)
from eef_framework.runs import RunLayout, StageKey, read_rows
from eef_framework.testing.answering_expert import AnsweringExpert
from eef_framework.testing.lookup import LoadedLookup

REASON = "The bell is what I need, and the others only lead away."
Rule = Callable[[str], str | None]
Whole = tuple[Path, RunMetrics, list[str]]


class Writer(Policy):
    """Answers by a rule; None is a lost answer."""

    asked: ClassVar[list[str]] = []
    rule: ClassVar[Rule] = staticmethod(lambda question: REASON)
    info: ClassVar[dict[str, str]] = {}

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        question = conversation[-1].content
        assert observation.actions is None  # nothing is constrained
        self.asked.append(question)
        text = type(self).rule(question)
        if text is None:
            raise AnswerFailure("the server hung up", computed_tokens=5, usd=0.25)
        return Response(text=text, prompt_tokens=7, computed_tokens=11, usd=0.5, info=self.info)


class Judge(AnsweringExpert):
    model = Writer

    def price(self, prompt: int, answers: int) -> float:
        return prompt * 1e-6 + answers * 2e-6


JUDGE = f"{__name__}:Judge"
SMALL = [
    "environment=corridor",
    "expert={name: corridor-expert, skill: 0.8}",
    "policy=lookup",
    "clone.trainer=lookup",
    "collect.tasks.count=8",
    "evaluate.tasks.count=2",
    "format.history=1",
    "explore.alternatives=3",
    f"explore.reflection.judge={JUDGE}",
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Whole:
    out = tmp_path_factory.mktemp("whole") / "run"
    Writer.asked.clear()
    metrics = played(registry, out)
    return out, metrics, list(Writer.asked)


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rule], None]:
    """Set what the model writes."""
    Writer.asked.clear()
    return lambda rule: monkeypatch.setattr(Writer, "rule", staticmethod(rule))


def small(registry: Registry, *more: str, recipe: str = "early-experience") -> RunConfig:
    return load_config(recipe, [*SMALL, *more], {}, registry)


def folder(out: Path, phase: str) -> Path:
    return out / "methods/early-experience/1" / phase


def played(registry: Registry, out: Path, *more: str) -> RunMetrics:
    return run(small(registry, *more), registry, out).metrics


def reflections(out: Path) -> list[Trajectory]:
    return list(read_rows(folder(out, "explore") / "reflections.jsonl", Trajectory))


def successes(out: Path) -> list[Trajectory]:
    rows = read_rows(RunLayout(out).trajectories(StageKey("collect")), Trajectory)
    return [row for row in rows if row.reward >= 1.0]


def other_actions(out: Path) -> dict[tuple[str, tuple[str, ...]], set[str]]:
    """Return, by the expert's action with those before it, what the agent did instead."""
    found: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    tried = list(read_rows(folder(out, "explore") / "alternatives.jsonl", Trajectory))
    for each in successes(out):
        for k, action in enumerate(each.actions):
            state = each.task.id, each.actions[:k]
            others = {row.actions[-1] for row in tried if (row.task.id, row.actions[:-1]) == state} - {action}
            if others:
                found[each.task.id, each.actions[: k + 1]] = others
    return found


def test_a_reflection_is_written_where_the_agent_did_something_else(whole: Whole) -> None:
    out, _, asked = whole
    rows, wanted = reflections(out), other_actions(out)
    assert 0 < len(wanted) < sum(len(each.steps) for each in successes(out))
    assert {(row.task.id, row.actions) for row in rows} == wanted.keys()
    assert len({row.id for row in rows}) == len(rows) == len(wanted)
    for row, question in zip(rows, asked, strict=True):
        step, seen = row.steps[-1], row.observation(row.prefix_length)
        assert seen.text in question
        assert f"\n1. `{step.action}`. Observed afterwards:\n{step.observation.text}\n" in question
        shown = set(re.findall(r"^(?!1\.)\d+\. `(.+)`\. Observed afterwards:$", question, re.MULTILINE))
        assert shown == wanted[row.task.id, row.actions]


def test_the_reflection_is_learned_with_the_experts_action(whole: Whole) -> None:
    out, *_ = whole
    examples = list(read_rows(folder(out, "select") / "examples.jsonl", Example))
    of = {row.id: row for row in reflections(out)}
    written = [example for example in examples if example.source == "reflection"]
    assert {example.trajectory for example in written} == set(of)
    for example in written:
        row = of[example.trajectory]
        assert example.states == (row.prefix_length,)
        *head, answer = example.messages
        assert answer.content == f"Thought: {REASON}\nAction: {row.actions[-1]}"
        assert (answer.weight, answer.unweighted_prefix_chars, answer.unweighted_suffix_chars) == (1.0, 0, 0)
        assert [message.weight for message in head] == [0.0] * len(head)
        assert head[-1].content == row.observation(row.prefix_length).text
    assert sum(example.source == "expert" for example in examples) == sum(len(row.steps) for row in successes(out))


def test_observations_are_not_predicted_as_well(whole: Whole) -> None:
    out, metrics, _ = whole
    assert not (folder(out, "select") / "predictions.jsonl").exists()
    assert "methods/early-experience/1/world-model" not in metrics.stages
    assert "early-experience 1" in RunLayout(out).report.read_text()


def test_reflections_cost_tokens_and_dollars_but_no_episodes_or_steps(whole: Whole) -> None:
    out, metrics, _ = whole
    cost = metrics.stages["methods/early-experience/1/explore"]
    tried = sum(1 for _ in read_rows(folder(out, "explore") / "alternatives.jsonl", Trajectory))
    assert (cost.simulations, cost.episodes, cost.steps) == (tried, tried, tried)
    agents = sum(
        step.response.computed_tokens
        for row in read_rows(folder(out, "explore") / "alternatives.jsonl", Trajectory)
        for step in row.steps[row.prefix_length :]
        if step.response
    )
    count = len(reflections(out))
    assert cost.computed_tokens == agents + 11 * count
    assert cost.usd == pytest.approx(0.5 * count)


def test_reflections_are_estimated_from_above_before_a_run(whole: Whole, tmp_path: Path, registry: Registry) -> None:
    out, metrics, asked = whole
    file = RunLayout(out).trajectories(StageKey("collect"))
    known, unknown = (
        plan(small(registry, *given), registry, tmp_path / "new").costs["early-experience/1: explore"]
        for given in ([f"collect.trajectories={file}"], [])
    )
    states = {(each.task.id, each.actions[:k]) for each in successes(out) for k in range(len(each.steps))}
    assert known.computed_tokens - known.prompt_tokens == 512 * len(states) >= 512 * len(asked)
    assert sum(map(len, asked)) / 4 < known.prompt_tokens < unknown.prompt_tokens
    assert known.usd == pytest.approx(known.prompt_tokens * 1e-6 + 512 * len(states) * 2e-6)
    assert metrics.stages["methods/early-experience/1/explore"].episodes > known.episodes == 0


def test_lost_answers_cost_their_examples_alone(
    tmp_path: Path, registry: Registry, answers: Callable[[Rule], None]
) -> None:
    answers(lambda question: None if len(Writer.asked) % 3 else REASON)
    with pytest.warns(EefWarning) as caught:
        metrics = played(registry, tmp_path)
    (warning,) = (w.message for w in caught if getattr(w.message, "code", "") == "reflections-missing")
    rows = reflections(tmp_path)
    lost = [row for row in rows if row.ending == "error"]
    assert isinstance(warning, EefWarning)
    assert warning.details == {"usable": len(rows) - len(lost), "unusable": 0, "lost": len(lost)}
    assert len(lost) > len(rows) / 2
    examples = read_rows(folder(tmp_path, "select") / "examples.jsonl", Example)
    assert {each.trajectory for each in examples if each.source == "reflection"} == {
        row.id for row in rows if row not in lost
    }
    cost = metrics.stages["methods/early-experience/1/explore"]
    assert cost.usd == pytest.approx(0.25 * len(lost) + 0.5 * (len(rows) - len(lost)))


@pytest.mark.parametrize("style", ["react", "tools"])
@pytest.mark.parametrize(
    ("text", "thought"),
    [
        (REASON, REASON),
        (f"Thought: {REASON}", REASON),
        (f"<think>hm</think>{REASON}", REASON),
        (f"{REASON}\n\nIt rings.", f"{REASON}\n\nIt rings."),
        (f"{REASON}\nAction: ring", REASON),
        (f"{REASON}\nAction: wait", ""),
        (f"Action: wait\n{REASON}", ""),
        ("  ", ""),
        ("<think>I never stop", ""),
        ("Action: ring", ""),
    ],
)
def test_nothing_but_a_thought_is_learned(
    answers: Callable[[Rule], None], text: str, thought: str, style: Literal["react", "tools"]
) -> None:
    answers(lambda question: text)
    format = ChatFormat(style=style)
    row = reflected(format)
    answer = row.steps[-1].response
    assert answer is not None
    assert is_usable(row) == bool(thought)
    assert answer.computed_tokens == 11
    if not thought:
        assert answer.text == text
        return
    assert answer.thought == thought
    (example,) = format.examples(row, (1.0,), "", "reflection")
    turn = example.messages[-1]
    assert (turn.unweighted_prefix_chars, turn.unweighted_suffix_chars, turn.weight) == (0, 0, 1.0)
    assert turn.content == format.answer("ring", thought)


def reflected(format: ChatFormat) -> Trajectory:
    """Return the reflection on ringing in place of waiting."""
    start, task = Observation(text="A bell.", actions=("ring", "wait")), Task(id="t", environment="corridor")
    rung, waited = (Step(action=action, observation=Observation(text=f"{action}.")) for action in ("ring", "wait"))
    demonstration = Trajectory(id="e", task=task, initial=start, steps=(rung,), reward=1.0)
    other = demonstration.changed(id="a", steps=(waited,), reward=0.0)
    compared = comparisons([demonstration], [other, demonstration], SuccessRule())
    writing = Reflecting(Writer(), "judge", "r", format, "", Sampling(max_tokens=99), 0, concurrency=2)
    (row,) = asyncio.run(writing.write(compared, [], lambda row: None))
    return row


def test_a_reflection_that_was_cut_off_is_not_learned(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "info", {"finish": "length"})
    with pytest.raises(NothingToTrain) as caught:
        played(registry, tmp_path)
    assert caught.value.code == "no-reflections"
    assert caught.value.details["unusable"] == len(reflections(tmp_path)) > 0


def test_an_agent_that_does_what_the_expert_does_leaves_nothing_to_reflect_on(
    tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(NothingToTrain) as caught:
        played(
            registry,
            tmp_path,
            "tune.start=clone",
            "policy.epsilon=0",
            "explore.sampling.temperature=0",
            "expert.skill=1",
        )
    assert (caught.value.code, caught.value.details) == ("no-other-actions", {"unparsed": 0})


@pytest.mark.parametrize(
    ("tried", "without"),
    [
        ([("ring", True)], 0),  # the same action
        ([("wait", True), ("hm", False)], 0),  # compared with the other
        ([("hm", False)], 1),
        ([("ring", True), ("hm", False)], 1),
        ([], 0),  # all answers were lost
    ],
)
def test_expert_actions_are_counted_where_answers_without_an_action_left_nothing_to_compare(
    tried: list[tuple[str, bool]], without: int
) -> None:
    def acted(action: str, parsed: bool) -> Trajectory:
        step = Step(action=action, observation=seen, response=Response(text=action, parsed=parsed))
        return Trajectory(id="a", task=task, initial=seen, steps=(step,), reward=1.0)

    seen, task, rule = Observation(text="A bell."), Task(id="t", environment="corridor"), SuccessRule()
    expert = acted("ring", True)
    assert count_without_action([expert, expert], [acted(*each) for each in tried], rule) == without
    assert count_without_action([expert.changed(reward=0.0)], [acted(*each) for each in tried], rule) == 0


def test_answers_without_an_action_are_nothing_to_reflect_on(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = LoadedLookup.act

    async def rambling(self: LoadedLookup, *given: Any) -> Response:
        return (await act(self, *given)).changed(text="I wonder")

    monkeypatch.setattr(LoadedLookup, "act", rambling)
    with pytest.warns(EefWarning), pytest.raises(NothingToTrain) as caught:
        played(registry, tmp_path)
    assert caught.value.code == "no-other-actions"
    assert caught.value.details["unparsed"] > 0
    assert not Writer.asked


def test_an_interrupted_run_requests_only_what_is_missing(
    tmp_path: Path, registry: Registry, answers: Callable[[Rule], None]
) -> None:
    def stop(question: str) -> str | None:
        if len(Writer.asked) == 5:
            return None
        if len(Writer.asked) == 9:
            raise PolicyFailure("the key expired")
        return REASON

    answers(stop)
    with pytest.raises(PolicyFailure):
        played(registry, tmp_path)
    before = reflections(tmp_path)
    assert [row.ending == "error" for row in before].count(True) == 1
    Writer.asked.clear()
    answers(lambda question: REASON)
    played(registry, tmp_path)
    rows = reflections(tmp_path)
    assert len(Writer.asked) == len(rows) - (len(before) - 1)
    assert all(row.ending != "error" for row in rows)
    assert sum(row.lost_usd for row in rows) == 0.25  # of the attempt that was lost
    played(registry, tmp_path / "whole")
    assert [row.actions for row in rows] == [row.actions for row in reflections(tmp_path / "whole")]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (["format={style: action, history: 1}"], "reflection-without-thoughts"),
        (["format.thoughts=false"], "reflection-without-thoughts"),
        (["format.train_thoughts=false"], "reflection-without-thoughts"),
        (["explore.alternatives=0", "explore.simulations=1"], "nothing-to-reflect-on"),
        (["explore.reflection.judge=corridor-expert"], "expert-cannot-answer"),
        (["select.pairs=true"], "reflection-with-pairs"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_starts(
    tmp_path: Path, registry: Registry, given: list[str], code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        played(
            registry, tmp_path / "run", *given, *(["format.history=null"] if code == "reflection-with-pairs" else [])
        )
    assert caught.value.code == code
    assert not (tmp_path / "run/collect").exists()


def test_settings_of_the_judge_are_checked(registry: Registry) -> None:
    for wrong in ("explore.reflection.judge={name: corridor-expert, skil: 1}", "explore.reflection={temperature: 1.0}"):
        with pytest.raises(ConfigError):
            load_config("early-experience", [*SMALL[:-1], wrong], {}, registry)


def test_methods_beside_it_do_not_reflect(tmp_path: Path, registry: Registry) -> None:
    others = "baselines=[eef, eef-adaptive, rft, rft-matched, rft-adaptive, dagger, untrained]"
    config = small(registry, others, "format.history=1")
    for each in variants(config, registry):
        assert (each.explore.reflection is not None) == (each.method == "early-experience" or not each.iterations)
    plan(config, registry, tmp_path / "run")


def test_tool_calls_follow_the_reflection(tmp_path: Path, registry: Registry) -> None:
    played(registry, tmp_path, "format={style: tools, history: 1}")
    examples = list(read_rows(folder(tmp_path, "select") / "examples.jsonl", Example))
    (first, *_) = (each for each in examples if each.source == "reflection")
    assert first.messages[-1].content.startswith(f"{REASON}\n<tool_call>")
    assert first.messages[-1].unweighted_prefix_chars == 0


def test_the_single_phases_work_on_files(tmp_path: Path, registry: Registry) -> None:
    played(registry, tmp_path / "run")
    layout = RunLayout(tmp_path / "run")
    settings = [part for each in SMALL for part in ("--set", each)]
    common = ("early-experience", "--plugins", "builtin,eef_framework.testing.plugin", *settings)

    def eef(command: str, *arguments: object) -> None:
        result = CliRunner().invoke(app, [command, *common, *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    expert, explored, examples = layout.trajectories(StageKey("collect")), tmp_path / "explored", tmp_path / "e.jsonl"
    eef("explore", "--demonstrations", expert, "--model", layout.path / "base/checkpoint", "--out", explored)
    eef("select", "--demonstrations", expert, "--explored", explored, "--out", examples)
    assert not (tmp_path / "e.predictions.jsonl").exists()
    in_run = read_rows(folder(layout.path, "select") / "examples.jsonl", Example)
    assert [row.messages for row in read_rows(examples, Example)] == [row.messages for row in in_run]
