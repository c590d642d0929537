import torch
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.training.collate import TokenizedExample, collate

VOCABULARY = 100


@st.composite
def tokenized(draw):
    ids = draw(st.lists(st.integers(1, VOCABULARY - 1), min_size=2, max_size=12))
    targets = draw(st.sets(st.integers(1, len(ids) - 1), min_size=1))
    weights = [draw(st.sampled_from([0.5, 1.0])) if place in targets else 0.0 for place in range(len(ids))]
    return TokenizedExample("e", ids, weights)


@given(st.lists(tokenized(), min_size=1, max_size=5))
def test_each_target_is_predicted_at_the_position_before_it(examples):
    batch = collate(examples)
    assert batch.input_ids.shape == batch.targets.shape == batch.loss_weights.shape
    for row, example in enumerate(examples):
        size = example.target_positions[-1]  # what follows the last target has no effect
        padding = [0] * (batch.input_ids.shape[1] - size)
        assert batch.input_ids[row].tolist() == example.token_ids[:size] + padding
        assert batch.targets[row].tolist() == example.token_ids[1 : size + 1] + padding
        assert batch.loss_weights[row].tolist() == example.loss_weights[1 : size + 1] + padding
    assert batch.logit_positions.tolist() == sorted({p - 1 for e in examples for p in e.target_positions})
    assert batch.input_ids.shape[1] == batch.logit_positions[-1] + 1
    assert batch.num_tokens == sum(len(example.token_ids) for example in examples)


@given(st.lists(tokenized(), min_size=1, max_size=5), st.integers(0, 9))
def test_the_loss_is_the_weighted_mean_over_the_targets(examples, seed):
    """Compared with a sum over examples and positions, with logits for all positions and for those with loss."""
    batch = collate(examples)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*batch.input_ids.shape, VOCABULARY, generator=generator)
    logp = logits.double().log_softmax(-1)
    parts = [
        (example.loss_weights[place], -logp[row, place - 1, example.token_ids[place]].item())
        for row, example in enumerate(examples)
        for place in example.target_positions
    ]
    wanted = sum(weight * nll for weight, nll in parts)
    for given_logits in (logits, logits[:, batch.logit_positions]):
        torch.testing.assert_close(batch.loss_sum(given_logits).item(), wanted, rtol=1e-5, atol=1e-5)
        mean = wanted / sum(weight for weight, _ in parts)
        torch.testing.assert_close(batch.loss(given_logits).item(), mean, rtol=1e-5, atol=1e-5)


def test_the_first_token_is_not_a_target():
    example = TokenizedExample("e", [5, 6, 7], [1.0, 0.0, 1.0])
    assert example.target_positions == [2]
    assert collate([example]).targets.tolist() == [[6, 7]]


def test_a_batch_moves_to_a_device_as_a_whole():
    batch = collate([TokenizedExample("e", [5, 6], [0.0, 1.0])]).to("meta")
    assert {batch.input_ids.device.type, batch.targets.device.type, batch.loss_weights.device.type} == {"meta"}
    assert (batch.num_tokens, batch.position_ids) == (2, None)
