from pathlib import Path

import pytest
from pydantic import BaseModel

from eef_framework import Component, UserPath, UserPathOrName
from eef_framework.paths import expand


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


class Part(Component):
    data: Path | None = None
    goals: str | Path = "all"
    several: tuple[Path, ...] = ()
    words: str = ""


@pytest.mark.parametrize("written", ["~/x", "$HOME/x", "${HOME}/x"])
def test_home_is_expanded_as_in_a_shell(home, written):
    assert expand(written) == home / "x"
    assert Part(data=written, several=[written]).data == home / "x"
    assert Part(data=Path(written)).settings()["data"] == str(home / "x")
    assert Part(several=[written]).several == (home / "x",)


@pytest.mark.parametrize("written", ["a/~/x", "$NO_SUCH_VARIABLE_HERE/x", "owner/model", "a b"])
def test_what_is_not_a_home_stays(written):
    assert str(expand(written)) == written


def test_a_text_that_is_not_a_path_stays():
    assert Part(words="~/x").words == "~/x"


def test_any_model_can_have_such_fields(home):
    class Own(BaseModel):
        path: UserPath
        model: UserPathOrName

    own = Own.model_validate({"path": "~/x", "model": "~/m"})
    assert (own.path, own.model) == (home / "x", str(home / "m"))
    assert Own(path=Path("x"), model="owner/model").model == "owner/model"
