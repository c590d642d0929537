from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import sys
import zlib
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from eef_framework.errors import AnswerFailure, EefWarning
from eef_framework.interfaces import Expert, Policy
from eef_framework.pipeline import run
from eef_framework.plugins import load_plugins
from eef_framework.records import Response
from eef_framework.report.trajectory_index import LINKS
from eef_framework.testing.small_run import small_settings


class Page(HTMLParser):
    """A report as a browser sees it: elements, visible text, scripts by id."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.scripts: dict[str, str] = {}
        self.tags: list[tuple[str, dict]] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self._marked: list[tuple[set[str], list[str]]] = []
        self._within: list[list[str]] = []
        self._texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        attrs = dict(attrs)
        marks = {attrs.get("id"), *(attrs.get("class") or "").split()} - {None}
        self._marked.append((marks, []))
        self._within.append(self._marked[-1][1])
        self._script = attrs.get("id") or "code"
        if tag == "script":
            self.scripts[self._script] = ""

    def handle_endtag(self, tag):
        while self._open and (self._within.pop(), self._open.pop())[1] != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[self._script] += data
        elif self._open and self._open[-1] == "style":
            self.styles.append(data)
        else:
            self._texts.append(data)
            for texts in self._within:
                texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts).split())

    def within(self, mark: str) -> list[str]:
        """Return the text of each element with this class or id."""
        return [" ".join("".join(texts).split()) for marks, texts in self._marked if mark in marks]

    @property
    def data(self) -> dict:
        return json.loads(self.scripts["data"])

    def piece(self, name: str) -> dict:
        return json.loads(gzip.decompress(base64.b64decode(self.scripts[name])))

    def number(self, ident: str) -> int:
        return self.data["rows"]["id"].index(ident)

    def trajectory(self, number: int) -> dict:
        """Unpack a trajectory as the page's script does."""
        starts = self.data["chunks"]
        chunk = max(k for k, start in enumerate(starts) if start <= number)
        found = self.piece(f"chunk-{chunk}")
        row = dict(found["rows"][number - starts[chunk]])
        texts = found["texts"]
        keys = ("action", "seen", "thought", "said")
        row["steps"] = [{k: texts[v] if k in keys else v for k, v in step.items()} for step in row["steps"]]
        if row["shared"]:
            origin = self.trajectory(self.data["rows"]["origin"][number])
            return {**row, "initial": origin["initial"], "steps": origin["steps"][: row["shared"]] + row["steps"]}
        return {**row, "initial": texts[row["initial"]]}

    def links(self, number: int) -> dict:
        chunk = max(k for k, start in enumerate(self.data["chunks"]) if start <= number)
        return self.piece(f"links-{chunk}").get(str(number), {name: [] for name in LINKS})


@pytest.fixture(scope="session")
def synthetic():
    """The module that writes made-up run directories."""
    path = Path(__file__).with_name("synthetic_run.py")
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic_run"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def finished(synthetic, tmp_path_factory) -> Path:
    """A finished run of some 370 trajectories. Not to be written to: make a copy first."""
    return synthetic.write_run(tmp_path_factory.mktemp("run") / "finished")


@pytest.fixture(scope="session")
def advised(tmp_path_factory) -> Path:
    """A run of the recipe dagger. Not to be written to: make a copy first."""
    registry = load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})
    settings = small_settings(extends="dagger", explore={"simulations": 2})
    return run(settings, registry, tmp_path_factory.mktemp("advised") / "run").path


@pytest.fixture(scope="session")
def tried(tmp_path_factory) -> Path:
    """A run of the recipe early-experience. Not to be written to: make a copy first."""
    registry = load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})
    settings = small_settings(extends="early-experience")
    return run(settings, registry, tmp_path_factory.mktemp("tried") / "run").path


class Writer(Policy):
    """Writes reflections, of which some are lost, and some name another action."""

    async def act(self, conversation, observation, sampling, seed):
        kind = zlib.crc32(conversation[-1].content.encode()) % 3
        if kind == 0:
            raise AnswerFailure("the server hung up")
        return Response(text="I have to go on." if kind == 1 else "I give up.\nAction: surrender")


class Judge(Expert):
    """A language model that is asked for reflections, and demonstrates nothing."""

    async def demonstrate(self, environment, tasks, seed):
        for none in ():
            yield none

    @contextmanager
    def open_policy(self):
        yield Writer()


@pytest.fixture(scope="session")
def reflected(tmp_path_factory) -> Path:
    """A run with reflections, of which a filter drops some. Not to be written to: make a copy first."""
    registry = load_plugins(["builtin", "eef_framework.testing.plugin", "eef_attribution.plugin"], {})
    explore = {"alternatives": 3, "reflection": {"judge": f"{__name__}:Judge"}}
    settings = small_settings(
        extends="early-experience", explore=explore, filters=[{"name": "cap-per-task", "trajectories": 3}]
    )
    with pytest.warns(EefWarning):
        return run(settings, registry, tmp_path_factory.mktemp("reflected") / "run").path


@pytest.fixture(scope="session")
def page_class():
    """Reads the HTML of a report: `page_class(html)`."""
    return Page
