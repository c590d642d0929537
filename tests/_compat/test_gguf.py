"""Each test names a part of the library gguf that may change. If it fails, adapt `_compat/gguf.py`."""

import numpy as np
import pytest

pytest.importorskip("gguf")

from eef_framework._compat.gguf import block_sizes, setting


@pytest.fixture
def file(tmp_path):
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tokenizer_pre("smollm")
    writer.add_tensor("first", np.zeros(64, np.float16))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return tmp_path / "model.gguf"


def test_a_setting_is_read_as_text(file):
    assert setting(file, "tokenizer.ggml.pre") == "smollm"
    assert setting(file, "no.such.key") is None


def test_the_sizes_of_types_are_known():
    from gguf import GGMLQuantizationType

    assert block_sizes()[GGMLQuantizationType.F16] == (1, 2)
    assert block_sizes()[GGMLQuantizationType.Q8_0] == (32, 34)
