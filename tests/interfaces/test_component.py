from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from eef_framework.interfaces import Component
from eef_framework.testing.corridor import Corridor


class Lamp(Component):
    name: ClassVar[str] = "lamp"
    watts: int = Field(default=5, gt=0)
    """Power."""


class Nameless(Component):
    pass


def test_settings_rebuild_an_equal_component():
    settings = Lamp(watts=7).settings()
    assert settings == {"name": "lamp", "watts": 7}
    assert Lamp(**{key: value for key, value in settings.items() if key != "name"}) == Lamp(watts=7)


def test_a_component_without_a_name_is_called_by_its_import_path():
    assert Nameless.component_name() == f"{__name__}:Nameless"


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Lamp(wats=7)


def test_the_string_below_a_field_is_its_help_text():
    assert Lamp.model_fields["watts"].description == "Power."


def test_a_component_is_closed_at_the_end_of_its_with_block():
    class Closing(Lamp):
        _closed: bool = False

        def close(self) -> None:
            self._closed = True

    with Closing() as lamp:
        assert not lamp._closed
    assert lamp._closed


def test_live_resources_are_no_settings():
    environment = Corridor()
    environment.echo()
    assert environment.settings() == Corridor().settings()
