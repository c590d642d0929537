from typing import ClassVar

import pytest
from pydantic import ValidationError

from eef_framework.errors import ConfigError, EefWarning
from eef_framework.interfaces import Filter
from eef_framework.plugins import Registry
from eef_framework.records import Example, Message

OLD = {"role": "assistant", "content": "well: go east", "weight": 1.0, "silent": 6, "silent_end": 5}
NEW = Message(
    role="assistant", content="well: go east", weight=1.0, unweighted_prefix_chars=6, unweighted_suffix_chars=5
)


def test_a_record_is_read_under_the_old_names_of_its_fields():
    with pytest.warns(EefWarning) as said:
        assert Message.model_validate(OLD) == NEW
    assert [
        (each.message.code, each.message.details["old"], each.message.details["new"])
        for each in said
        if isinstance(each.message, EefWarning)
    ] == [
        ("renamed", "silent", "unweighted_prefix_chars"),
        ("renamed", "silent_end", "unweighted_suffix_chars"),
    ]


def test_a_line_of_a_file_is_read_under_the_old_names_of_its_fields():
    row = Example(id="e", messages=(Message(role="user", content="?"), NEW))
    old = row.model_dump_json().replace("unweighted_prefix_chars", "silent")
    old = old.replace("unweighted_suffix_chars", "silent_end")
    with pytest.warns(EefWarning) as said:
        assert Example.model_validate_json(old) == row
    assert {each.message.code for each in said if isinstance(each.message, EefWarning)} == {"renamed"}


def test_a_field_under_both_names_is_refused():
    with pytest.raises(ValidationError) as caught:
        Message.model_validate(OLD | {"unweighted_prefix_chars": 6})
    assert [error["type"] for error in caught.value.errors()] == ["given-under-two-names"]


class Every(Filter):
    """Keeps every example whose number is divisible."""

    name: ClassVar[str] = "every"
    renamed: ClassVar = {"step": "stride"}

    stride: int = 1

    def apply(self, examples, seed):
        """Return every n-th example."""
        return examples[:: self.stride]


def test_a_component_takes_a_setting_under_its_old_name():
    registry = Registry()
    registry.register(Every)
    with pytest.warns(EefWarning) as said:
        built = registry.build("filter", {"name": "every", "step": 3})
    assert built.settings() == {"name": "every", "stride": 3}
    assert [each.message.details for each in said if isinstance(each.message, EefWarning)] == [
        {"owner": "every", "old": "step", "new": "stride"}
    ]
    with pytest.raises(ConfigError) as caught:
        registry.build("filter", {"name": "every", "step": 3, "stride": 3})
    assert caught.value.code == "wrong-settings"
