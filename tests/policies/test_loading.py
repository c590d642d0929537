import warnings

import pytest
import torch

from eef_framework.errors import EefWarning
from eef_framework.policies import TransformersPolicy
from eef_framework.policies.loading import warn_of_slow_type
from eef_framework.training.settings import in_bfloat16
from eef_framework.training.sft import SftTrainer

SHORT = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}


@pytest.fixture
def instructions(monkeypatch):
    """Set whether the processor has instructions for short types."""

    def have(there):
        for name in SHORT.values():
            monkeypatch.setattr(torch.ops.mkldnn, name, lambda: there, raising=False)

    return have


@pytest.mark.parametrize("dtype", SHORT)
def test_types_that_the_processor_has_no_instructions_for_are_told(instructions, dtype):
    instructions(False)
    with pytest.warns(EefWarning) as told:
        warn_of_slow_type(dtype, "cpu")
    assert [
        (warning.message.code, warning.message.details) for warning in told if isinstance(warning.message, EefWarning)
    ] == [("slow-type", {"dtype": dtype})]


def test_torch_knows_about_instructions_by_these_names():
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch comes without oneDNN, which would know")
    assert all(isinstance(getattr(torch.ops.mkldnn, name)(), bool) for name in SHORT.values())


@pytest.mark.parametrize(
    ("dtype", "device", "there"),
    [("float32", "cpu", False), ("auto", "cpu", False), ("bfloat16", "cpu", True), ("bfloat16", "cuda", False)],
)
def test_what_is_not_slow_is_not_told(instructions, dtype, device, there):
    instructions(there)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_slow_type(dtype, device)


def test_a_policy_in_a_slow_type_says_so_when_it_is_loaded(instructions, checkpoint):
    instructions(False)
    with pytest.warns(EefWarning) as told:
        TransformersPolicy(dtype="bfloat16", device="cpu").load(checkpoint).close()
    assert "slow-type" in [getattr(warning.message, "code", "") for warning in told]


def test_a_training_in_a_slow_type_says_so(instructions):
    instructions(False)
    trainer = SftTrainer(precision="bfloat16")
    with pytest.warns(EefWarning) as told:
        assert in_bfloat16(trainer, "cpu")
    assert [warning.message.code for warning in told if isinstance(warning.message, EefWarning)] == ["slow-type"]
