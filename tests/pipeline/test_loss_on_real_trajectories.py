"""Tokens under loss, from real trajectories to batches: exactly those that verdicts, selection and filters say.

What is expected is computed here from the trajectories alone: weights from the verdicts, and the text of every turn.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.config.schema import Select
from eef_framework.filters import LimitLength, WeighTrajectories
from eef_framework.formats import read_records
from eef_framework.pipeline.examples import examples_of
from eef_framework.pipeline.filtering import filtered
from eef_framework.pipeline.solutions import Exploration, selection
from eef_framework.records import Attribution, Origin, Segment, SuccessRule, Trajectory, Verdict
from eef_framework.training.batches import micro_batches
from eef_framework.training.collate import TrainingBatch, collate
from eef_framework.training.dataset import TokenizedDataset
from eef_framework.training.packing import collate_packed, packed_rows

RULE = SuccessRule()
REAL = Path(__file__).parents[3] / "shared" / "data" / "react-webshop" / "episodes.jsonl.gz"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LONGEST = 9
"""Limit of the filter on length, in actions."""


@pytest.fixture(scope="module")
def tokens() -> ChatTokenizer:
    """A tokenizer of bytes with merges, and the template that Qwen's models have."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = ["Thought: I should search.\nAction: search[red shirt]", "Action: click[Buy Now]"] * 9
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(words, trainer)
    return ChatTokenizer(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token="<|im_end|>",
            additional_special_tokens=special,
            chat_template=CHATML,
        )
    )


@pytest.fixture(scope="module")
def webshop() -> list[Trajectory]:
    """Successes of a language model in WebShop, with its thoughts."""
    if not REAL.is_file():
        (pytest.fail if os.environ.get("EEF_REQUIRE_DATA") == "1" else pytest.skip)(
            "needs ../shared/data/react-webshop"
        )
    found = [row for row in read_records(REAL, Trajectory) if RULE.holds(row) and len(row.steps) > 2]
    assert len(found) > 100
    return sorted(found, key=lambda row: -len(row.steps))[:12] + found[:12]


@pytest.fixture(scope="module")
def sciworld() -> list[Trajectory]:
    """Solutions in the real simulator."""
    pytest.importorskip("eef_sciworld")
    from eef_sciworld.environment import SciWorld
    from eef_sciworld.experts import GoldExpert

    with SciWorld(types=("find-living-thing", "lifespan-longest-lived"), slots=1) as world:

        async def demonstrate() -> list[Trajectory]:
            return [row async for row in GoldExpert().demonstrate(world, world.tasks("train")[:4], 0)]

        found = asyncio.run(demonstrate())
    return [row.changed(id=f"expert/{row.task.id}") for row in found]


Case = tuple[Trajectory, Trajectory, Attribution]
"""A demonstration, which is taken to have failed, its continuation by the agent, and verdicts."""


def cases(rows: Sequence[Trajectory], seed: int) -> list[Case]:
    """Return each episode as a demonstration that failed, whose last actions are the agent's, with random verdicts."""
    found: list[Case] = []
    for number, row in enumerate({row.task.id: row for row in rows}.values()):
        draw = random.Random(f"{seed}/{number}")
        length = len(row.steps)
        state = draw.randrange(1, length)
        cuts = sorted({0, length, *(draw.randrange(length + 1) for _ in range(3))})
        segments = tuple(
            Segment(start=start, end=end, verdict=draw.choice(list(Verdict)), credit=draw.choice([-0.5, 0.25, 1.0]))
            for start, end in pairwise(cuts)
            if draw.random() < 0.8  # the others are unknown
        )
        demonstration = row.changed(id=f"expert/{number}", reward=0.0)
        played = row.changed(id=f"agent/{number}", origin=Origin(trajectory=demonstration.id, state=state))
        found.append(
            (demonstration, played, Attribution(trajectory=demonstration.id, length=length, segments=segments))
        )
    return found


def weight_of(attribution: Attribution, action: int, prefix_loss: str) -> float:
    of = [segment for segment in attribution.segments if action in range(segment.start, segment.end)]
    verdict = of[0].verdict if of else Verdict.UNKNOWN
    match prefix_loss:
        case "all" | "none":
            return float(prefix_loss == "all")
        case "beneficial":
            return float(verdict == "beneficial")
        case "not-harmful":
            return float(verdict != "harmful")
    return max(0.0, of[0].credit or 0.0) if of else 0.0


def expected(case: Case, prefix_loss: str, format: ChatFormat, weigh: bool) -> Iterator[tuple[str, float]]:
    """Yield the text of each turn that is learned, and its weight."""
    _, played, attribution = case
    assert played.origin is not None
    state = played.origin.state
    weights = [
        weight_of(attribution, action, prefix_loss) if action < state else 1.0 for action in range(len(played.steps))
    ]
    total = sum(weights) if weigh else 1.0
    for step, weight in zip(played.steps, weights, strict=True):
        thought = step.response.thought if step.response and format.train_thoughts else ""
        if weight:
            yield f"Thought: {thought}\nAction: {step.action}" if thought else f"Action: {step.action}", weight / total


def turns_in(tokens: ChatTokenizer, batch: TrainingBatch) -> Iterator[tuple[str, float]]:
    """Yield the text and the weight of each learned turn of a batch; its tokens have one weight, the stop token too."""
    turn: list[int] = []
    weights = set()
    learned = batch.loss_weights > 0
    pairs = zip(batch.targets[learned].tolist(), batch.loss_weights[learned].tolist(), strict=True)
    for token, weight in pairs:
        turn.append(token)
        weights.add(weight)
        if token == tokens.stop_ids[-1]:
            assert len(weights) == 1
            yield tokens.text(turn), round(weights.pop(), 5)
            turn = []
    assert turn == []


def check(tokens: ChatTokenizer, rows: Sequence[Trajectory], prefix_loss: str, format: ChatFormat, seed: int) -> None:
    found = cases(rows, seed)
    demonstrations = [demonstration for demonstration, _, _ in found]
    exploration = Exploration([played for _, played, _ in found], {each.trajectory: each for _, _, each in found})
    settings = Select.model_validate({"prefix_loss": prefix_loss})
    chosen = selection(demonstrations, [exploration], settings, RULE, seed)
    kept = filtered(
        examples_of(chosen.solutions, format, "Rules."), [LimitLength(steps=LONGEST), WeighTrajectories()], seed
    ).kept
    wanted: Mapping[tuple[str, float], int] = Counter(
        (tokens.escape_special_tokens(text), round(weight, 5))
        for case in found
        if len(case[1].steps) <= LONGEST
        for text, weight in expected(case, prefix_loss, format, weigh=True)
    )
    assert wanted
    tokenized = TokenizedDataset.from_examples(kept, tokens, max_tokens=100_000).examples
    for max_tokens in (1, 4000):
        padded: Any = map(collate, micro_batches(tokenized, max_tokens))
        packed: Any = map(collate_packed, packed_rows(tokenized, max_tokens))
        for batches in (padded, packed):
            assert Counter(turn for batch in batches for turn in turns_in(tokens, batch)) == wanted


@pytest.mark.parametrize(
    "format", [ChatFormat(), ChatFormat(history=1), ChatFormat(train_thoughts=False)], ids=["whole", "one", "actions"]
)
@pytest.mark.parametrize("prefix_loss", ["beneficial", "not-harmful", "all", "none", "credit"])
def test_in_webshop(tokens: ChatTokenizer, webshop: list[Trajectory], prefix_loss: str, format: ChatFormat) -> None:
    check(tokens, webshop, prefix_loss, format, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("history", [None, 1])
def test_in_scienceworld(tokens: ChatTokenizer, sciworld: list[Trajectory], history: int | None) -> None:
    for seed, prefix_loss in enumerate(["beneficial", "not-harmful", "all", "none", "credit"]):
        check(tokens, sciworld, prefix_loss, ChatFormat(history=history), seed)


def test_recovery_has_loss_on_the_agents_own_actions_alone(tokens: ChatTokenizer, webshop: list[Trajectory]) -> None:
    found = cases(webshop, 2)
    attributions = {each.trajectory: each for _, _, each in found}
    exploration = Exploration([played for _, played, _ in found], attributions)
    settings = Select(initial=False)
    chosen = selection([each for each, _, _ in found], [exploration], settings, RULE, 0)
    examples = examples_of(chosen.solutions, ChatFormat(), "Rules.")
    wanted = Counter(
        (tokens.escape_special_tokens(text), 1.0)
        for case in found
        if any(state <= case[1].prefix_length for state in case[2].needing_recovery)
        for text, _ in list(expected(case, "none", ChatFormat(), weigh=False))
    )
    assert wanted
    tokenized = TokenizedDataset.from_examples(examples, tokens, max_tokens=100_000).examples
    batches = map(collate, micro_batches(tokenized, 4000))
    assert Counter(turn for batch in batches for turn in turns_in(tokens, batch)) == wanted
