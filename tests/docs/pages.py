"""Runs the code blocks of a Markdown page as they are printed.

A block is run by its language, in the order of the page and in one temporary folder for the page:

- `console`: with bash, as one script; variables and the current folder carry over to the next block;
- `python`: in one namespace for the page;
- `yaml`: `eef-run ... --dry-run`, on top of the recipe `demo` where it extends nothing, and in the environment `shop`
  where it names none;
- `toml`, `json`: parsed;
- `text`: output or a diagram; nothing to run.

A block whose first line is a comment with a file's name (`# my_ideas.py`) is written to that file; if it is Python, it
is for other blocks to import it.

An HTML comment above a block changes that:

- `<!-- not-run: REASON -->`: it takes a network, a GPU or days. What can be checked without is checked: `eef-run` with
  `--dry-run` (which may say that a key or a model is missing), the options of `eef`, the targets of `make`, the
  distributions and extras that pip is given.
- `<!-- needs: NAME -->`: it is run where a folder of that name is among the shared test data, and skipped elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sysconfig
import tomllib
import venv
from collections.abc import Iterable
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"

SMALL = {
    "EEF__COLLECT__TASKS__COUNT": "12",
    "EEF__EVALUATE__TASKS__COUNT": "4",
    "EEF__ITERATIONS": "1",
    "EEF__CLONE__TRAINER__STEPS": "3",
    "EEF__TUNE__TRAINER__NAME": "sft",
    "EEF__TUNE__TRAINER__STEPS": "2",
}
"""Makes runs of seconds of the runs on a page."""
OTHERS: dict[str, dict[str, str | None]] = {
    "docs/training.md": {  # its runs have another trainer
        "EEF__COLLECT__TASKS__COUNT": "6",
        "EEF__TUNE__TRAINER__NAME": None,
        "EEF__TUNE__TRAINER__STEPS": None,
    }
}
"""What is different on a page."""

MISSING = ("no-key", "model-not-cached")
"""What a dry run may find missing on the machine of the tests: a key, and a model of a hub."""

MARK = re.compile(r"<!-- (not-run|needs): (.+?) -->\n*$")
FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml|toml|json))\n")


def small(path: Path) -> dict[str, str]:
    """Return the variables that make the runs of a page small."""
    changed = SMALL | OTHERS.get(Path(os.path.relpath(path, ROOT)).as_posix(), {})
    return {name: value for name, value in changed.items() if value is not None}


def mark(document: Document, region: Region) -> tuple[str, str]:
    """Return the mark above a block and its text; empty where there is none."""
    found = MARK.search(document.text, 0, region.start)
    return (found[1], found[2]) if found else ("", "")


class Page:
    """A page, and the folder in which its blocks run.

    Args:
        path: the Markdown file.
        folder: an empty folder.

    Attributes:
        document: the page as sybil reads it: its examples are the blocks.
        work: where python blocks run, and console blocks begin.
        variables: environment variables of all blocks.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        bin_folder = _virtual_environment(folder / "venv")
        self.variables = {
            **small(path),
            "PATH": os.pathsep.join([str(bin_folder), os.environ["PATH"]]),
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",  # small models gain nothing from more, and pages run side by side
            "HF_HUB_OFFLINE": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say true
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "EEF_WEBSHOP_FILES": str(DATA / "webshop-1k"),
        }
        self._state = folder / "state"
        self._state.touch()
        self._exec = PythonEvaluator()
        self.document = Sybil([self._blocks]).parse(path)
        self.document.namespace["__name__"] = "__main__"

    def _blocks(self, document: Document) -> Iterable[Region]:
        lexer = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)\n"))
        for region in lexer(document):
            region.parsed = region.lexemes["source"]
            region.evaluator = getattr(self, f"run_{region.lexemes['language']}", _unknown_language)
            if mark(document, region)[0] == "not-run":
                region.evaluator = getattr(self, f"check_{region.lexemes['language']}", region.evaluator)
            yield region

    def run_console(self, example: Example) -> str | None:
        return self._bash(example.parsed)

    def run_python(self, example: Example) -> None:
        if FILE.match(example.parsed):  # other blocks use it
            compile(self._save(example).read_text(encoding="utf-8"), example.path, "exec")
        else:
            self._exec(example)

    def run_yaml(self, example: Example) -> str | None:
        file = self._save(example)
        part = "environment" not in yaml.safe_load(example.parsed) and "extends" in yaml.safe_load(example.parsed)
        others = "--env shop --set expert=shopper" if part else ""
        return self._dry_run(f"eef-run {shlex.quote(str(file))} {others}")

    def run_toml(self, example: Example) -> None:
        self._save(example)
        tomllib.loads(example.parsed)

    def run_json(self, example: Example) -> None:
        json.loads(example.parsed)

    def run_text(self, example: Example) -> str | None:
        commands = re.findall(r"^(?:eef|eef-run|pip|make|python|pytest) .*", example.parsed, re.MULTILINE)
        return f"a block of text with commands: {commands}" if commands else None

    def check_python(self, example: Example) -> None:
        compile(example.parsed, example.path, "exec")

    def check_console(self, example: Example) -> str | None:
        for line in str(example.parsed).replace("\\\n", " ").splitlines():
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if words and (wrong := self._check(words)):
                    return f"{command.strip()}: {wrong}"
        return None

    def _check(self, words: list[str]) -> str | None:
        """Check a command without doing what it says. Returns what is wrong with it."""
        name, *arguments = words
        if name == "eef-run":
            return self._dry_run(shlex.join(words))
        if name == "eef":
            return self._bash(f"{shlex.join(words)} --help")  # options are parsed before it is answered
        if name == "make":
            done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True)
            return done.stderr if done.returncode else None
        return _check_pip(arguments) if name == "pip" else None

    def _save(self, example: Example) -> Path:
        """Write a block to the file its first line names. Returns the file."""
        text, named = str(example.parsed), FILE.match(example.parsed)
        file = self.work / (named[1] if named else ".block.yaml")
        if file.suffix == ".yaml" and not re.search("^extends:", text, re.MULTILINE):
            text = f"extends: demo\n{text}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def _dry_run(self, command: str) -> str | None:
        """Look whether a run could begin, but for what is only missing on the machine of the tests."""
        wrong = self._bash(f"{command} --dry-run")
        return None if wrong and any(f"error [{code}]" in wrong for code in MISSING) else wrong

    def _bash(self, script: str) -> str | None:
        """Run a script with the variables and the folder that the one before ended with. Returns what went wrong."""
        keep = f'trap \'{{ set +x; export -p; printf "cd %q" "$PWD"; }} > {shlex.quote(str(self._state))}\' EXIT'
        done = subprocess.run(
            ["bash", "-c", f"source {shlex.quote(str(self._state))}\n{keep}\nset -euxo pipefail\n{script}"],
            cwd=self.work,
            env=os.environ | self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}" if done.returncode else None


def _unknown_language(example: Example) -> str:
    return "no language that is run: choose console, python, yaml, toml, json or text"


def _virtual_environment(folder: Path) -> Path:
    """Make an environment on top of the one that the tests run in, so that `pip install` changes nothing outside.

    Returns:
        Its folder of commands.
    """
    venv.create(folder, symlinks=True)
    bin_folder, parent = folder / "bin", Path(sysconfig.get_path("scripts"))
    (libraries,) = folder.glob("lib/python*/site-packages")
    (libraries / "parent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name in ("eef", "eef-run", "pip", "pytest"):
        _, _, code = (parent / name).read_text(encoding="utf-8").partition("\n")
        (bin_folder / name).write_text(f"#!{bin_folder / 'python'}\n{code}", encoding="utf-8")
        (bin_folder / name).chmod(0o755)
    return bin_folder


def _check_pip(arguments: list[str]) -> str | None:
    """Check that what is installed from here are our distributions, with extras they have."""
    for each in arguments[1:]:
        path, _, extras = each.rstrip("]").partition("[")
        if path.startswith((".", "plugins/")):
            file, wanted = ROOT / path / "pyproject.toml", {extra for extra in extras.split(",") if extra}
        elif path.startswith("eef-"):
            requirement = Requirement(each)
            folder = ROOT if requirement.name == "eef-framework" else ROOT / "plugins" / requirement.name
            file, wanted = folder / "pyproject.toml", requirement.extras
        else:
            continue
        if not file.is_file():
            return f"there is no {file}"
        known = tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("optional-dependencies", {})
        if wanted - known.keys():
            return f"{file.parent.name} has no extra {', '.join(sorted(wanted - known.keys()))}"
    return None
