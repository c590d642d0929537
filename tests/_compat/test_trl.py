"""Each test names a part of trl that is not public. If it fails, adapt `_compat/trl.py`."""

import pytest

pytest.importorskip("trl")

from eef_framework._compat.trl import OVERRIDDEN, dpo_trainer_class, use_one_device


@pytest.mark.parametrize("method", OVERRIDDEN)
def test_the_trainer_has_the_methods_that_are_overridden(method):
    from trl.trainer.dpo_trainer import DPOTrainer

    assert callable(getattr(DPOTrainer, method, None))
    assert method in vars(dpo_trainer_class())


def test_no_other_method_is_overridden():
    own = {name for name in vars(dpo_trainer_class()) if not name.startswith("__")}
    assert own <= {*OVERRIDDEN, "_abc_impl"}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of DPOConfig itself
def test_the_number_of_devices_can_be_set(tmp_path):
    from trl.trainer.dpo_config import DPOConfig

    arguments = DPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    arguments._n_gpu = 3
    assert arguments.n_gpu == 3
    use_one_device(arguments)
    assert arguments.n_gpu == 1
