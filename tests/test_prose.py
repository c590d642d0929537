"""Plain English: words and phrases that readers stumbled over stay out of code and documentation."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".md", ".js", ".css", ".html", ".yaml", ".toml", ".txt"}

# In each pattern, a space stands for any white space, also across lines of a comment, and for underscores in names.
AVOIDED = {
    r"behind": "after, on (a server)",
    r"whoever": "the role: trainer, policy, author",
    r"(?<!there )is no(?! (?:better|longer|more|worse))": "isn't a",
    r"overwr(?:ite|ites|ote|itten|iting)": "override",
    r"learnt": "learned",
    r"mend(?:s|ed|ing)?": "fix",
    r"gone on with": "continued",
    r"said to be": "reported as",
    r"what there is": "name the thing",
    r"in the making": "in progress",
}
"""Pattern -> what to write instead."""

KEPT = {
    r"(?:leave|leaves|left|leaving)(?: \w+){0,4} behind": "leaving something behind, as a leak is",
    r"behind a (?:TLS )?proxy": "the usual phrase",
}
"""Uses that are right, and why."""

KEPT_IN = {
    "plugins/eef-webshop/eef_webshop/commands/prepare.py": ("overwr", "`--overwrite` replaces a file"),
    "plugins/eef-webshop/eef_webshop/data/prepare.py": ("overwr", "`overwrite` replaces a file"),
    "plugins/eef-webshop/tests/data/test_webshop_store.py": ("overwr", "tests of `overwrite`"),
    "docs/errors.md": ("overwr", "generated, with the message about `--overwrite`"),
    "tests/test_prose.py": ("", "lists the words"),
}
"""File -> what its kept patterns begin with, and why they are right there."""


def compiled(phrase):
    return re.compile(rf"(?<![a-z]){phrase.replace(' ', '[_ ]')}(?![a-z])")


def flattened(text):
    """Return a text in lower case on one line, without the marks of comments, so that phrases can span lines."""
    return " ".join(line.strip().lstrip("#/* ") for line in text.lower().splitlines())


def found(text, phrase):
    """Return the avoided uses of a phrase in a flattened text, with their context."""
    uses = list(compiled(phrase).finditer(text))
    kept = [match.span() for pattern in KEPT for match in compiled(pattern.lower()).finditer(text)] if uses else []
    return [
        text[max(0, use.start() - 40) : use.end() + 40]
        for use in uses
        if not any(start <= use.start() and use.end() <= end for start, end in kept)
    ]


@pytest.fixture(scope="module")
def texts():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a Git checkout")
    paths = [name for name in listed.stdout.split("\0") if Path(name).suffix in SUFFIXES]
    return {name: flattened((ROOT / name).read_text(encoding="utf-8")) for name in paths if (ROOT / name).is_file()}


@pytest.mark.parametrize("phrase", AVOIDED, ids=lambda phrase: re.sub(r"\W+", "-", phrase))
def test_a_phrase_that_readers_stumbled_over_is_not_used(texts, phrase):
    checked = {name for name in texts if not (name in KEPT_IN and phrase.startswith(KEPT_IN[name][0]))}
    uses = [f"{name}: ...{use}..." for name in sorted(checked) for use in found(texts[name], phrase)]
    assert not uses, "\n".join([f"write instead: {AVOIDED[phrase]}", *uses])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("the state behind the action", 1),
        ("def test_a_state_behind_an_action():", 1),
        ("a closed session leaves no thread or file behind", 0),
        ("put it behind a TLS proxy", 0),
        ("beforehand, behindhand", 0),
    ],
)
def test_the_search_finds_words_and_keeps_right_uses(text, count):
    assert len(found(flattened(text), "behind")) == count


def test_the_search_reads_across_lines_of_comments():
    is_no = next(phrase for phrase in AVOIDED if "is no" in phrase)
    assert len(found(flattened("# this is\n    # no file of records"), is_no)) == 1
    assert found(flattened("# there is\n    # no file of records"), is_no) == []


def test_what_is_kept_is_still_there(texts):
    for name, (start, _) in KEPT_IN.items():
        assert any(found(texts[name], phrase) for phrase in AVOIDED if phrase.startswith(start)), name
