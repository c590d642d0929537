import gc
import json
import logging
import math

import pytest
import torch
from safetensors.torch import load_file

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError, NothingToTrain, TrainerFailure
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Example, Message
from eef_framework.training import DpoTrainer, SftTrainer
from eef_framework.training.trl_dpo import _micro_batch_size

BOTH = {"device": "cpu", "learning_rate": 3e-3, "batch_size": 4, "warmup": 0}
CPU = BOTH | {"beta": 0.3}
WORDS = [f"word{number}" for number in range(12)]


def ask(text):
    return Message(role="user", content=text)


def said(text, weight=1.0):
    return Message(role="assistant", content=text, weight=weight)


def pair(number):
    """Return a pair of attempts of several turns and unequal length; the better one does what it is asked to."""
    first, second, other = (WORDS[(number + n) % 12] for n in (0, 1, 5))
    better = (ask(f"copy {first}"), said(first), ask(f"{other} {first} {other}"), said(second))
    worse = (
        ask(f"copy {first}"),
        said(other),
        ask(f"{second}"),
        said(second, 0.0),
        ask("copy"),
        said(f"{other} {other}"),
    )
    return Example(id=f"p{number}", messages=better, rejected=worse)


@pytest.fixture(scope="module")
def pairs():
    return [pair(number) for number in range(8)]


def train(examples, start, output, seed=0, **settings):
    """Return weights and log of a training."""
    notes = []
    trainer = DpoTrainer(**(CPU | {"steps": 3} | settings))
    result = trainer.train(examples, start, output, seed, lambda *note: notes.append(note))
    rows = [json.loads(row) for row in (output / "training.jsonl").read_text().splitlines()]
    assert list(result.losses) == [row["loss"] for row in rows]
    assert [note[:2] for note in notes] == [(row["step"], len(rows)) for row in rows]
    assert (result.steps, result.trained_tokens) == (len(rows), rows[-1]["tokens"])
    return load_file(output / "model.safetensors"), rows


def same(one, other):
    return all(one[name].equal(other[name]) for name in one)


def close(one, other):
    return all(one[name].allclose(other[name], atol=2e-5) for name in one)


def log_probability(path, conversation):
    """Return the log-probability of a conversation's weighted turns, worked out from the logits."""
    model, chat = load_model(path, "float32", "cpu").eval(), ChatTokenizer(load_tokenizer(path))
    ids, weights = chat.encode(conversation)
    with torch.no_grad():
        log_p = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(log_p[place - 1, ids[place]].item() for place, weight in enumerate(weights) if weight)


def margin(path, start, example, beta):
    """Return beta * (r(preferred) - r(rejected)), where r is a log-probability minus that at the start."""
    gained = [
        log_probability(path, side) - log_probability(start.path, side) for side in (example.messages, example.rejected)
    ]
    return beta * (gained[0] - gained[1])


@pytest.mark.slow
def test_the_better_attempt_becomes_likelier_against_the_worse_one(pairs, start, tmp_path):
    _, rows = train(pairs, start, tmp_path, steps=30)
    assert all(margin(tmp_path, start, example, 1.0) > 0 for example in pairs)
    assert rows[-1]["loss"] < 0.5 < math.log(2) == pytest.approx(rows[0]["loss"])
    assert rows[-1]["accuracy"] == 1.0
    assert rows[-1]["margin"] > rows[0]["margin"] == 0.0


@pytest.mark.slow
def test_the_loss_is_the_published_formula(pairs, start, tmp_path):
    """-log sigmoid of the margin, before the first step and after one, computed from the logits of the checkpoints."""
    some = pairs[:4]  # one step sees them all
    train(some, start, tmp_path / "one", steps=1)
    for room in (1, 10000):
        _, rows = train(some, start, tmp_path / str(room), steps=2, max_batch_tokens=room)
        assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
        assert rows[0]["preferred"] == pytest.approx(
            sum(log_probability(start.path, example.messages) for example in some) / 4, rel=1e-5
        )
        margins = [margin(tmp_path / "one", start, example, CPU["beta"]) for example in some]
        assert rows[1]["margin"] == pytest.approx(sum(margins) / 4, rel=1e-3)
        wanted = sum(math.log1p(math.exp(-each)) for each in margins) / 4
        assert rows[1]["loss"] == pytest.approx(wanted, rel=1e-5)
        assert abs(wanted - math.log(2)) > 0.01


@pytest.mark.slow
def test_the_likelihood_of_the_preferred_side_can_be_part_of_the_loss(pairs, start, tmp_path):
    some = pairs[:4]
    _, rows = train(some, start, tmp_path, steps=1, sft_weight=0.5)
    chat = ChatTokenizer(load_tokenizer(start.path))
    tokens = sum(sum(chat.encode(example.messages).loss_weights) for example in some)
    likelihood = sum(log_probability(start.path, example.messages) for example in some) / tokens
    assert rows[0]["loss"] == pytest.approx(math.log(2) - 0.5 * likelihood, rel=1e-5)


@pytest.mark.slow
def test_pieces_of_a_step_add_up_to_the_whole(pairs, start, tmp_path):
    whole, rows = train(pairs, start, tmp_path / "whole", max_batch_tokens=100000)
    split, rows_of_split = train(pairs, start, tmp_path / "split", max_batch_tokens=80)
    assert close(whole, split)
    for key in ("loss", "grad_norm", "margin", "preferred", "rejected"):
        assert [row[key] for row in rows_of_split] == pytest.approx([row[key] for row in rows], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "longest", "room", "size"), [(32, 100, 1000, 4), (32, 100, 1, 1), (6, 10, 100, 3), (5, 1, 100, 5)]
)
def test_pieces_are_as_large_as_fits_and_equally_large(batch_size, longest, room, size):
    assert _micro_batch_size(batch_size, longest, room) == size


@pytest.mark.slow
def test_the_same_pairs_and_seed_give_the_same_bits(pairs, start, tmp_path):
    weights, rows = train(pairs, start, tmp_path / "a")
    torch.manual_seed(5)
    again, rows_again = train(pairs, start, tmp_path / "b")
    assert same(weights, again)
    assert rows == rows_again
    assert not same(weights, train(pairs, start, tmp_path / "c", seed=2**63 - 1)[0])


@pytest.fixture
def said_by_transformers(caplog):
    """Return the log of transformers from its warnings up, which isn't passed on to other loggers."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


class Interrupted(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize(
    ("at", "settings"), [(1, {}), (5, {}), (5, {"lora": {"rank": 4, "dropout": 0.3}}), (5, {"max_batch_tokens": 1})]
)
def test_a_resumed_training_ends_like_an_uninterrupted_one(pairs, start, tmp_path, at, settings, said_by_transformers):
    wanted, rows = train(pairs, start, tmp_path / "a", steps=7, **settings)
    trainer = DpoTrainer(**(CPU | {"steps": 7, "save_every_s": 0} | settings))
    seen = []

    def progress(step, steps, note):
        seen.append(step)
        if len(seen) == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        trainer.train(pairs, start, tmp_path / "b", 0, progress)
    result = trainer.train(pairs, start, tmp_path / "b", 0, progress)
    # The step that was interrupted before it was saved is taken again.
    assert seen == [*range(1, at + 1), *range(at, 8)]
    assert same(wanted, load_file(tmp_path / "b/model.safetensors"))
    assert [json.loads(row) for row in (tmp_path / "b/training.jsonl").read_text().splitlines()] == rows
    assert (result.steps, list(result.losses)) == (7, [row["loss"] for row in rows])
    assert not (tmp_path / "b/interrupted").exists()
    assert not said_by_transformers.records


@pytest.mark.parametrize("trainer", [DpoTrainer, SftTrainer])
def test_files_of_others_among_the_states_stay_as_they_are(pairs, start, tmp_path, trainer):
    for name in ("interrupted/notes.json", "interrupted/more/1.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    trainer(**BOTH, steps=3, save_every_s=0).train(pairs, start, tmp_path, 0, lambda *_: None)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "interrupted").rglob("*"))
    assert found == ["interrupted/more", "interrupted/more/1.json", "interrupted/notes.json"]
    assert (tmp_path / "interrupted/notes.json").read_text() == "mine"


def test_a_state_of_another_training_is_not_continued(pairs, start, tmp_path):
    wanted, rows = train(pairs, start, tmp_path / "a", seed=1, steps=4)

    def progress(step, steps, note):
        if step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        DpoTrainer(**CPU, steps=4, save_every_s=0).train(pairs, start, tmp_path / "b", 0, progress)
    again, rows_again = train(pairs, start, tmp_path / "b", seed=1, steps=4, save_every_s=0)
    assert same(wanted, again)
    assert rows == rows_again


def test_what_is_not_a_pair_changes_nothing_and_is_on_record(pairs, start, tmp_path):
    weights, _ = train(pairs, start, tmp_path / "a")
    alone = pairs[0].changed(id="alone", rejected=())
    alike = pairs[0].changed(id="alike", rejected=pairs[0].messages)
    assert same(weights, train([alike, *pairs[:5], alone, *pairs[5:]], start, tmp_path / "b")[0])
    report = json.loads((tmp_path / "b/preparation.json").read_text())
    assert (report["examples"], report["unpaired"], report["alike"]) == (8, ["alone"], ["alike"])
    assert report["tokens_with_loss"] == 8 * (4 + 5)


def test_nothing_to_train_is_an_error(pairs, start, tmp_path):
    with pytest.raises(NothingToTrain) as caught:
        train(pairs, start, tmp_path, max_tokens=5)
    assert caught.value.code == "no-usable-pairs"


def test_supervised_training_passes_over_the_worse_attempt(pairs, start, tmp_path):
    for name, examples in {"a": pairs, "b": [each.changed(rejected=()) for each in pairs]}.items():
        SftTrainer(device="cpu", steps=2, trackers=()).train(examples, start, tmp_path / name, 0, lambda *_: None)
    assert same(load_file(tmp_path / "a/model.safetensors"), load_file(tmp_path / "b/model.safetensors"))


def test_the_learning_rate_warms_up_and_stays(pairs, start, tmp_path):
    _, rows = train(pairs, start, tmp_path, steps=8, warmup=0.5)
    assert [row["lr"] / 3e-3 for row in rows] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1, 1, 1])


def test_epochs_set_the_number_of_steps(pairs, start, tmp_path):
    _, rows = train(pairs, start, tmp_path, steps=None, epochs=2)
    assert len(rows) == 2 * len(pairs) / 4


def test_a_loss_that_is_not_a_number_names_the_pairs(pairs, broken, tmp_path):
    with pytest.raises(TrainerFailure) as caught:
        train(pairs[:2], broken, tmp_path / "out", batch_size=2)
    assert (caught.value.code, caught.value.details) == ("loss-not-finite", {"examples": ["p0", "p1"]})


def test_the_result_is_like_what_it_started_from(pairs, half, tmp_path):
    """In its type, and in all of its files but the weights."""
    weights, _ = train(pairs, half, tmp_path / "out")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    files = {path.name for path in half.path.iterdir()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | {"training.jsonl", "preparation.json"}
    for name in files - {"model.safetensors"}:
        assert (tmp_path / "out" / name).read_bytes() == (half.path / name).read_bytes()


def test_bfloat16_is_near_float32(pairs, start, tmp_path):
    half, rows = train(pairs, start, tmp_path / "a", precision="bfloat16")
    full, _ = train(pairs, start, tmp_path / "b", precision="float32")
    assert rows[0]["margin"] == 0.0  # the reference is computed as the model is
    assert not same(half, full)
    assert all(half[name].allclose(full[name], atol=0.05) for name in full)


def test_gradient_checkpointing_changes_no_result(pairs, start, tmp_path):
    plain, _ = train(pairs, start, tmp_path / "a")
    assert close(plain, train(pairs, start, tmp_path / "b", gradient_checkpointing=True)[0])


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"gradient_checkpointing": True}])
def test_adapters_alone_are_trained_and_merged_into_what_is_saved(pairs, start, tmp_path, more):
    settings = {"lora": {"rank": 4}, "learning_rate": 1e-2, "steps": 20} | more
    weights, rows = train(pairs, start, tmp_path / "out", **settings)
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert rows[-1]["margin"] > 0.1
    before = load_file(start.path / "model.safetensors")
    assert {name for name in before if not before[name].equal(weights[name])} == {n for n in before if "_proj" in n}
    adapter = load_file(tmp_path / "out/adapter/adapter_model.safetensors")
    assert adapter
    assert all("lora_" in name for name in adapter)
    learned = sum(margin(tmp_path / "out", start, example, CPU["beta"]) for example in pairs) / len(pairs)
    assert learned > rows[-2]["margin"] * 0.5


def test_targets_that_the_model_does_not_have_are_an_error(pairs, start, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(pairs, start, tmp_path, lora={"targets": ["no_such_module"]})
    assert (caught.value.code, caught.value.details) == ("lora-targets", {"targets": ("no_such_module",)})


def test_the_programs_isolated_rng_go_on_undisturbed(pairs, start, tmp_path):
    import random

    import numpy as np

    def seeded():
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)

    def drawn():
        return torch.rand(2).tolist(), random.random(), np.random.random()

    seeded()
    wanted = drawn()
    seeded()
    train(pairs, start, tmp_path)
    assert drawn() == wanted


def test_it_says_nothing_and_leaves_nothing_behind(pairs, start, tmp_path, capsys, recwarn):
    from transformers import LlamaForCausalLM

    def models():
        return sum(type(each) is LlamaForCausalLM for each in gc.get_objects())

    gc.collect()
    before = models()
    gc.disable()
    try:
        train(pairs, start, tmp_path)
        assert models() == before
    finally:
        gc.enable()
    assert capsys.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def test_other_trainings_can_follow(pairs, start, tmp_path):
    """Libraries keep settings for the life of a process; none of another training's."""
    plain = SftTrainer(device="cpu", steps=2, trackers=())
    plain.train(pairs, start, tmp_path / "a", 0, lambda *_: None)
    train(pairs, start, tmp_path / "b", precision="bfloat16", max_batch_tokens=1)
    plain.train(pairs, start, tmp_path / "c", 0, lambda *_: None)
    assert same(load_file(tmp_path / "a/model.safetensors"), load_file(tmp_path / "c/model.safetensors"))
