def rows(done):
    return [line.split() for line in done.out.splitlines()]


def test_the_list_has_every_kind(command):
    done = command("eef", "plugins")
    assert done.code == 0, done.err
    listed = {tuple(row[:2]) for row in rows(done) if len(row) > 1}
    assert {
        ("environment", "corridor"),
        ("expert", "corridor-expert"),
        ("policy", "transformers"),
        ("trainer", "sft"),
        ("trainer", "dpo"),
        ("filter", "deduplicate"),
        ("recipe", "eef"),
    } <= listed


def test_a_part_is_shown_with_its_settings(command):
    done = command("eef", "plugins", "corridor-expert")
    assert "expert corridor-expert from plugin" in done.out
    (skill,) = [row for row in rows(done) if row[:1] == ["skill"]]
    assert skill[1:3] == ["float", "0.65"]


def test_settings_of_sections_are_shown_with_their_paths(command):
    shown = {row[0] for row in rows(command("eef", "plugins", "transformers")) if row}
    assert {"tiny", "tiny.hidden", "tiny.layers"} <= shown


def test_all_parts_of_a_name_are_shown(command):
    done = command("eef", "plugins", "lookup")
    assert "policy lookup from" in done.out
    assert "trainer lookup from" in done.out


def test_a_misspelt_part_gets_a_suggestion(command):
    done = command("eef", "plugins", "corridor-exprt")
    assert done.code == 2
    assert (done.error.code, done.error.details["given"]) == ("unknown-name", "corridor-exprt")
    assert "'corridor-expert'" in done.error.message


def test_a_recipe_given_as_a_component_is_named_as_a_recipe(command):
    for verb in ("plugins", "check"):
        assert "recipe 'eef'" in command("eef", verb, "eef").error.fix


def test_several_parts_are_shown_in_the_order_of_their_names_on_the_command_line(command):
    done = command("eef", "plugins", "corridor-expert", "corridor")
    assert done.code == 0, done.err
    assert (
        0 <= done.out.index("expert corridor-expert from plugin") < done.out.index("environment corridor from plugin")
    )


def test_nothing_is_shown_where_one_of_several_names_is_misspelt(command):
    done = command("eef", "plugins", "corridor", "corridor-exprt")
    assert done.code == 2
    assert done.out == ""


def test_a_class_is_shown_by_its_import_path(command, folder):
    (folder / "my_shown_idea.py").write_text(
        "from eef_framework import Filter\n"
        "class Mine(Filter):\n"
        '    """Keeps all."""\n\n'
        "    most: int = 7\n"
        '    """The most that are kept."""\n\n'
        "    def apply(self, examples, seed): return examples\n"
    )
    done = command("eef", "plugins", "my_shown_idea:Mine", "deduplicate")
    assert done.code == 0, done.err
    assert all(part in done.out for part in ("my_shown_idea:Mine", "Keeps all.", "The most that are kept.", "dedupl"))
    assert command("eef", "plugins", "my_shown_idea:Other").error.code == "unknown-name"


def test_without_a_terminal_each_component_is_on_a_line_of_its_own(command, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    done = command("eef", "plugins")
    kinds = {"kind", "environment", "expert", "policy", "attributor", "filter", "trainer", "executor", "tracker"}
    assert {row[0] for row in rows(done)} <= {*kinds, "recipe", "plugin"}
