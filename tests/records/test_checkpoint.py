from eef_framework.records import Checkpoint


def test_a_checkpoint_of_plain_data_is_read_back(tmp_path):
    checkpoint = Checkpoint.of_json(tmp_path / "new" / "folder", {"b": [1.5], "a": None}, "base")
    assert (checkpoint.path, checkpoint.name) == (tmp_path / "new" / "folder", "base")
    assert Checkpoint(path=checkpoint.path).read_json() == {"a": None, "b": [1.5]}


def test_equal_data_are_equal_files(tmp_path):
    one = Checkpoint.of_json(tmp_path / "one", {"a": 1, "b": 2})
    other = Checkpoint.of_json(tmp_path / "other", {"b": 2, "a": 1})
    (first,), (second,) = one.path.iterdir(), other.path.iterdir()
    assert first.read_bytes() == second.read_bytes()
