import pytest

from eef_framework.policies import TinyModel
from eef_framework.records import Message

TEXT = (Message(role="user", content="one two three four five"),)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The folder of a tiny model that is whole."""
    return TinyModel(hidden=32, layers=2, feed_forward=64).build([TEXT], tmp_path_factory.mktemp("base"), 0).path
