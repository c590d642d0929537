import contextlib
import json
import math
import sys

import psutil
import pytest
import torch
from safetensors.torch import load_file

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError, NothingToTrain, TrainerFailure
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Checkpoint, Example, Message
from eef_framework.training import SftTrainer, distributed
from eef_framework.training.dataset import TokenizedDataset
from eef_framework.training.loop import Training

CPU = {"device": "cpu", "trackers": ("tensorboard",), "learning_rate": 3e-3, "batch_size": 16}


def train(examples, start, output, seed=0, **settings):
    """Return weights and log of a training."""
    notes = []
    trainer = SftTrainer(**(CPU | {"steps": 4} | settings))
    result = trainer.train(examples, start, output, seed, lambda *note: notes.append(note))
    rows = [json.loads(row) for row in (output / "training.jsonl").read_text().splitlines()]
    assert list(result.losses) == [row["loss"] for row in rows]
    assert [note[:2] for note in notes] == [(row["step"], trainer.steps or len(rows)) for row in rows]
    assert (result.steps, result.trained_tokens) == (len(rows), rows[-1]["tokens"])
    return load_file(output / "model.safetensors"), rows


def close(one, other):
    return all(one[name].allclose(other[name], atol=2e-5) for name in one)


def same(one, other):
    return all(one[name].equal(other[name]) for name in one)


@pytest.mark.slow
def test_it_learns_to_copy(examples, start, tmp_path):
    _, rows = train(examples, start, tmp_path / "out", steps=150)
    assert rows[0]["loss"] > 1.2  # mean of a word out of twelve and a stop token that is soon known
    assert rows[-1]["loss"] < 0.1


@pytest.mark.slow
def test_the_same_examples_and_seed_give_the_same_bits(examples, start, tmp_path):
    weights, rows = train(examples, start, tmp_path / "a")
    again, rows_again = train(examples, start, tmp_path / "b")
    assert same(weights, again)
    assert rows == rows_again
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    assert not same(weights, train(examples, start, tmp_path / "c", seed=1)[0])


@pytest.mark.slow
def test_the_loss_is_the_weighted_mean_of_the_turns(start, tmp_path):
    ask, chat = Message(role="user", content="copy word1"), ChatTokenizer(load_tokenizer(start.path))

    def turn(word, weight):
        return Message(role="assistant", content=word, weight=weight)

    examples = [
        Example(id="a", messages=(ask, turn("word1", 0.0), ask, turn("word2", 0.5), ask, turn("word4 word5", 2.0))),
        Example(id="b", messages=(ask, turn("word3", 1.0))),
    ]
    model, total, parts = load_model(start.path, "float32", "cpu").eval(), 0.0, 0.0
    for example in examples:
        ids, weights = chat.encode(example.messages)
        log_p = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for place, weight in enumerate(weights):
            parts += -weight * log_p[place - 1, ids[place]].item() if weight else 0.0
            total += weight
    assert total == 0.5 * 2 + 2.0 * 3 + 1.0 * 2
    for room in (1, 10000):
        _, rows = train(examples, start, tmp_path / str(room), batch_size=2, steps=1, max_batch_tokens=room)
        assert rows[0]["loss"] == pytest.approx(parts / total, rel=1e-5)


@pytest.mark.slow
def test_micro_batches_of_a_step_add_up_to_the_whole(examples, start, tmp_path):
    whole, rows = train(examples, start, tmp_path / "whole", max_batch_tokens=100000)
    split, rows_of_split = train(examples, start, tmp_path / "split", max_batch_tokens=40)
    assert close(whole, split)
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in rows_of_split], rel=1e-4)


@pytest.mark.slow
def test_an_example_without_weight_changes_nothing(examples, start, tmp_path):
    masked = Example(
        id="masked", messages=(examples[0].messages[0], Message(role="assistant", content="word1", weight=0.0))
    )
    weights, _ = train(examples, start, tmp_path / "a")
    assert same(weights, train([*examples[:5], masked, *examples[5:]], start, tmp_path / "b")[0])
    assert json.loads((tmp_path / "b/preparation.json").read_text())["without_loss"] == ["masked"]


def test_what_is_left_out_is_on_record(examples, start, tmp_path):
    long = Example(id="long", messages=(Message(role="user", content="word1 " * 200), examples[0].messages[1]))
    train([*examples, long], start, tmp_path, max_tokens=64)
    report = json.loads((tmp_path / "preparation.json").read_text())
    assert (report["examples"], report["over_long"]) == (len(examples), ["long"])
    assert report["tokens_with_loss"] == 2 * len(examples)


@pytest.mark.slow
def test_a_masked_turn_gets_no_gradient(start, tmp_path):
    """Whatever a masked last turn says, the weights come out the same."""

    def example(masked):
        ask = Message(role="user", content="copy word1")
        said = Message(role="assistant", content="word1", weight=1.0)
        return Example(id="e", messages=(ask, said, ask, Message(role="assistant", content=masked, weight=0.0)))

    weights, _ = train([example("word2")], start, tmp_path / "a", batch_size=1)
    assert same(weights, train([example("word3 word4")], start, tmp_path / "b", batch_size=1)[0])


@pytest.mark.slow
def test_twice_the_weight_everywhere_is_the_same_mean(examples, start, tmp_path):
    def weighted(weight):
        return [e.changed(messages=(e.messages[0], e.messages[1].changed(weight=weight))) for e in examples]

    weights, _ = train(weighted(1.0), start, tmp_path / "a")
    assert same(weights, train(weighted(2.0), start, tmp_path / "b")[0])


def test_the_learning_rate_warms_up_and_falls(examples, start, tmp_path):
    _, rows = train(examples, start, tmp_path, steps=20, warmup=0.2)
    rates = [row["lr"] for row in rows]
    assert rates[:5] == pytest.approx([0, 0.25 * 3e-3, 0.5 * 3e-3, 0.75 * 3e-3, 3e-3])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] < 0.1 * 3e-3


def test_epochs_set_the_number_of_steps(examples, start, tmp_path):
    _, rows = train(examples, start, tmp_path, steps=None, epochs=2)
    assert len(rows) == 2 * len(examples) / 16


def test_long_gradients_are_cut(examples, start, tmp_path):
    """As a step of AdamW doesn't depend on the length of a gradient, the optimiser's own figures are looked at."""
    tokenized = TokenizedDataset.from_examples(examples, start).examples

    def first_step(longest):
        settings = SftTrainer(**CPU, steps=1, max_grad_norm=longest)
        training = Training(settings, tokenized, start, tmp_path, 0)
        row = training.advance()
        mean = [state["exp_avg"] for state in training._optimizer.state.values()]
        return row["grad_norm"], math.sqrt(sum(float(each.square().sum()) for each in mean)) / 0.1

    norm, taken = first_step(1e-3)
    assert (norm > 0.1, taken) == (True, pytest.approx(1e-3, rel=1e-3))
    norm, taken = first_step(1e3)
    assert taken == pytest.approx(norm, rel=1e-3)


def test_nothing_to_train_is_an_error(start, tmp_path):
    with pytest.raises(NothingToTrain) as caught:
        train([], start, tmp_path)
    assert caught.value.code == "nothing-to-train"


def test_a_loss_that_is_not_a_number_names_the_examples(examples, broken, tmp_path):
    with pytest.raises(TrainerFailure) as caught:
        train(examples[:2], broken, tmp_path / "out", batch_size=2)
    assert (caught.value.code, caught.value.details) == ("loss-not-finite", {"examples": ["e0", "e1"]})


def test_the_result_is_saved_in_the_type_it_was_read_in(examples, half, tmp_path):
    weights, _ = train(examples, half, tmp_path / "out")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


@pytest.mark.slow
def test_bfloat16_and_float32_can_follow_one_another(examples, start, tmp_path):
    half, _ = train(examples, start, tmp_path / "a", precision="bfloat16")
    full, _ = train(examples, start, tmp_path / "b", precision="float32")
    assert not same(half, full)
    assert all(half[name].allclose(full[name], atol=0.05) for name in full)


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_result(examples, start, tmp_path):
    plain, _ = train(examples, start, tmp_path / "a")
    assert close(plain, train(examples, start, tmp_path / "b", gradient_checkpointing=True)[0])


def test_a_training_gives_its_memory_back_to_the_system(examples, start, tmp_path, holes):
    before = psutil.Process().memory_info().rss
    train(examples, start, tmp_path / "out", steps=1)
    assert before - psutil.Process().memory_info().rss > (holes << 20) / 4  # libraries are loaded meanwhile


def test_the_programs_isolated_rng_go_on_undisturbed(examples, start, tmp_path):
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    train(examples, start, tmp_path)
    assert torch.rand(4).equal(wanted)


@pytest.mark.slow
def test_the_result_answers(examples, start, tmp_path):
    """The checkpoint is a folder with everything a policy needs."""
    import asyncio

    from eef_framework.interfaces import Sampling
    from eef_framework.policies import TransformersPolicy
    from eef_framework.records import Observation

    train(examples, start, tmp_path, steps=150)
    with TransformersPolicy().load(Checkpoint(path=tmp_path)) as policy:
        answer = policy.act(examples[0].messages[:1], Observation(text=""), Sampling(temperature=0), 0)
        assert asyncio.run(answer).text == examples[0].messages[1].content


class Interrupted(Exception):
    """Stands for a killed process."""


def interrupted(examples, start, output, at, **settings):
    """Start a training and end it after a step."""

    def progress(step, steps, note):
        if step == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        SftTrainer(**(CPU | {"steps": 8} | settings)).train(examples, start, output, 0, progress)


@pytest.mark.parametrize("at", [1, 5])
def test_a_resumed_training_ends_like_an_uninterrupted_one(examples, start, tmp_path, at):
    wanted, rows = train(examples, start, tmp_path / "a", steps=8)
    interrupted(examples, start, tmp_path / "b", at, save_every_s=0)
    seen = []
    trainer = SftTrainer(**CPU, steps=8, save_every_s=0)
    result = trainer.train(examples, start, tmp_path / "b", 0, lambda step, steps, note: seen.append(step))
    assert seen == list(range(at, 9))  # the step that was interrupted before it was saved is taken again
    assert same(wanted, load_file(tmp_path / "b" / "model.safetensors"))
    assert [json.loads(row) for row in (tmp_path / "b" / "training.jsonl").read_text().splitlines()] == rows
    assert (result.steps, result.trained_tokens) == (len(rows), rows[-1]["tokens"])
    assert not (tmp_path / "b" / "interrupted").exists()


def test_a_kill_at_any_moment_loses_no_row_of_the_log(examples, start, tmp_path):
    lengths = []

    def progress(step, steps, note):
        lengths.append((step, len((tmp_path / "training.jsonl").read_text().splitlines())))
        if len(lengths) == 5:
            raise Interrupted

    trainer = SftTrainer(**CPU, steps=8, save_every_s=0)
    for _ in range(2):
        with contextlib.suppress(Interrupted):
            trainer.train(examples, start, tmp_path, 0, progress)
    # The fifth step's row was written and its state was not: the second training takes that step again.
    assert lengths == [(step, step) for step in (1, 2, 3, 4, 5, 5, 6, 7, 8)]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["seed", "examples", "settings"])
def test_another_training_starts_from_the_beginning(examples, start, tmp_path, change):
    interrupted(examples, start, tmp_path / "b", 5, save_every_s=0)
    more = {"learning_rate": 1e-3} if change == "settings" else {}
    some = examples[:40] if change == "examples" else examples
    seed = 1 if change == "seed" else 0
    wanted, rows = train(some, start, tmp_path / "a", seed, steps=8, save_every_s=0, **more)
    again, rows_again = train(some, start, tmp_path / "b", seed, steps=8, save_every_s=0, **more)
    assert same(wanted, again)
    assert rows == rows_again


LORA = {"lora": {"rank": 4, "dropout": 0.3}, "learning_rate": 1e-2}


def test_adapters_alone_are_trained_and_merged_into_what_is_saved(examples, start, tmp_path):
    from safetensors import safe_open

    weights, rows = train(examples, start, tmp_path / "out", steps=30, lora={"rank": 4}, learning_rate=1e-2)
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    before = load_file(start.path / "model.safetensors")
    changed = {name for name in before if not before[name].equal(weights[name])}
    assert changed == {name for name in before if "_proj" in name}
    with safe_open(tmp_path / "out/adapter/adapter_model.safetensors", "pt") as adapter:
        assert all("lora_" in name for name in adapter.keys())  # noqa: SIM118 - it isn't a dictionary


@pytest.mark.slow
def test_dropout_goes_on_where_it_was(examples, start, tmp_path):
    wanted, rows = train(examples, start, tmp_path / "a", steps=8, **LORA)
    assert rows != train(examples, start, tmp_path / "none", steps=8, **(LORA | {"lora": {"rank": 4}}))[1]
    interrupted(examples, start, tmp_path / "b", 5, save_every_s=0, **LORA)
    SftTrainer(**(CPU | LORA), steps=8, save_every_s=0).train(examples, start, tmp_path / "b", 0, lambda *_: None)
    assert same(wanted, load_file(tmp_path / "b" / "model.safetensors"))
    assert [json.loads(row) for row in (tmp_path / "b" / "training.jsonl").read_text().splitlines()] == rows


def test_targets_that_the_model_does_not_have_are_an_error(examples, start, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(examples, start, tmp_path, lora={"targets": ["no_such_module"]})
    assert (caught.value.code, caught.value.details) == ("lora-targets", {"targets": ("no_such_module",)})


@pytest.mark.slow
def test_a_cut_example_is_learned_up_to_the_last_turn_that_fits(start, tmp_path):
    ask, chat = Message(role="user", content="copy word1"), ChatTokenizer(load_tokenizer(start.path))
    said = Message(role="assistant", content="word1", weight=1.0)
    whole = Example(id="long", messages=(ask, said) * 3)
    front = whole.changed(messages=(ask, said) * 2)
    room = len(chat.encode(front.messages).token_ids) + 1
    weights, _ = train([whole], start, tmp_path / "a", batch_size=1, max_tokens=room, over_long="cut")
    assert same(weights, train([front], start, tmp_path / "b", batch_size=1)[0])
    report = json.loads((tmp_path / "a/preparation.json").read_text())
    assert (report["examples"], report["truncated"], report["over_long"]) == (1, ["long"], [])


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(examples, start, tmp_path):
    one, rows = train(examples, start, tmp_path / "one", max_batch_tokens=200)
    two, rows_of_two = train(examples, start, tmp_path / "two", max_batch_tokens=200, processes=2)
    assert close(one, two)
    assert [row["loss"] for row in rows_of_two] == pytest.approx([row["loss"] for row in rows], rel=1e-4)
    assert not (tmp_path / "two/request.json").exists()


@pytest.mark.slow
def test_an_error_in_one_of_several_processes_is_raised(examples, start, tmp_path):
    with pytest.raises(NothingToTrain) as caught:
        train(examples, start, tmp_path, max_tokens=2, processes=2)
    assert caught.value.code == "nothing-to-train"
    assert not (tmp_path / "request.json").exists()


@pytest.mark.slow
def test_the_own_words_of_a_process_that_aborts_are_shown(examples, start, tmp_path, monkeypatch):
    script = tmp_path / "aborts.py"
    script.write_text("import os, sys\nprint('out of luck', file=sys.stderr, flush=True)\nos.abort()\n")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", str(script)]
    monkeypatch.setattr(distributed, "launch_command", lambda *_: launcher)
    with pytest.raises(TrainerFailure) as caught:
        train(examples, start, tmp_path / "out", processes=2)
    words, report = caught.value.details["lines"]
    assert (words, "exitcode: -6" in report) == ("out of luck", True)
    assert not (tmp_path / "out/request.json").exists()  # no host joins a training that failed


def test_tensorboard_gets_loss_and_learning_rate(examples, start, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, rows = train(examples, start, tmp_path)
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.tfevents.*")).parent)).Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([row["loss"] for row in rows], rel=1e-5)
    assert [event.step for event in events.Scalars("lr")] == [1, 2, 3, 4]
