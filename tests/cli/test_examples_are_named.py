"""Every command that reads a file of examples reports file, line and id of a malformed one."""

import json

import pytest

GOOD = [{"role": "user", "content": "page"}, {"role": "assistant", "content": "go", "weight": 1}]
MALFORMED = {
    "empty": [],
    "assistant first": [GOOD[1], *GOOD],
    "ends with the user": [*GOOD, GOOD[0]],
    "users in a row": [GOOD[0], *GOOD],
    "rules in the middle": [*GOOD, {"role": "system", "content": "rules"}, *GOOD],
    "weight of a user": [{**GOOD[0], "weight": 1}, GOOD[1]],
    "unknown role": [GOOD[0], {"role": "bot", "content": "go", "weight": 1}],
}


def written(path, *conversations, **fields):
    rows = [{"id": f"row-{number}", "messages": each} for number, each in enumerate(conversations, 1)]
    rows[-1] |= fields
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(params=["check", "train"])
def read(request, command, folder):
    """Return a function that reads `examples.jsonl` in one of the ways, and returns the exit code and what was said."""

    def read():
        if request.param == "check":
            return command("eef", "check", "examples.jsonl")
        assert command("eef", "collect", "own.yaml", "--out", "known.jsonl").code == 0
        assert command("eef", "base", "own.yaml", "--demonstrations", "known.jsonl", "--out", "base").code == 0
        return command("eef", "train", "own.yaml", "--examples", "examples.jsonl", "--model", "base", "--out", "new")

    return read


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("others", [0, 3])
def test_a_malformed_conversation(read, folder, kind, others):
    written(folder / "examples.jsonl", *[GOOD] * others, MALFORMED[kind])
    done = read()
    assert (done.code, done.error.code, done.error.details["line"]) == (1, "corrupt-row", others + 1)
    for part in ("examples.jsonl", f"'row-{others + 1}'"):
        assert part in done.error.message
    assert ("`eef convert`" in done.error.fix) == (others > 0), "it leaves that row out"


def test_a_malformed_worse_attempt(read, folder):
    written(folder / "examples.jsonl", GOOD, GOOD, rejected=[GOOD[1]])
    done = read()
    assert (done.code, done.error.code, done.error.details["line"]) == (1, "corrupt-row", 2)
    assert "'row-2'" in done.error.message


def test_an_id_that_occurs_twice(read, folder):
    written(folder / "examples.jsonl", GOOD, GOOD, id="row-1")
    done = read()
    assert (done.code, done.error.code, done.error.details["line"]) == (1, "duplicate-id", 2)
    assert "'row-1'" in done.error.message


def test_a_file_in_order(read, folder):
    written(folder / "examples.jsonl", GOOD, GOOD)
    assert read().code == 0
