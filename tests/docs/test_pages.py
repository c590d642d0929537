import pytest

MARK = "<!-- not-run: a test -->\n"


@pytest.fixture
def evaluate(pages, tmp_path):
    """Evaluate the blocks of a page with this text. Returns how many there were."""

    def evaluate(text):
        path = tmp_path / "page.md"
        path.write_text(text, encoding="utf-8")
        (tmp_path / "run").mkdir()
        examples = list(pages.Page(path, tmp_path / "run").document)
        for example in examples:
            example.evaluate()
        return len(examples)

    return evaluate


def block(language, text):
    return f"```{language}\n{text}\n```\n"


def test_variables_the_folder_files_and_names_carry_over_from_block_to_block(evaluate):
    text = (
        block("console", "export GREETING='two words'\nmkdir inner\ncd inner")
        + block("console", 'test "$GREETING" = "two words"\ntest "$(basename "$PWD")" = inner')
        + block("python", "# mine.py\nnumber = 3")
        + block("console", "grep number ../mine.py")
        + block("python", "value = 1")
        + block("python", "assert value == 1")
    )
    assert evaluate(text) == 6


@pytest.mark.parametrize(
    "text",
    [
        block("console", "false\ntrue"),
        block("console", "false | true"),
        block("python", "# mine.py\n1 +"),
        block("yaml", "environment: shpo"),
        block("toml", "a ="),
        block("", "make demo"),
        block("sh", "make demo"),
        block("text", "eef-run demo"),
        MARK + block("console", "eef-run --env shpo"),
        MARK + block("console", "true && eef evaluate eef --mdel x"),
        MARK + block("console", "make no-such-target"),
        MARK + block("console", "pip install eef-webshp"),
        MARK + block("console", "pip install 'eef-webshop[prepares]'"),
        MARK + block("console", "pip install -e plugins/eef-webshp"),
        MARK + block("python", "1 +"),
    ],
)
def test_a_block_that_does_not_work_fails_whether_it_is_marked_or_not(evaluate, text):
    with pytest.raises((AssertionError, SyntaxError, ValueError)):
        evaluate(text)


def test_a_marked_block_is_not_run(evaluate):
    assert evaluate(MARK + block("console", "exit 3\nfalse")) == 1
