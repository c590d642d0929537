from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil

import pytest
import yaml

from eef_framework.errors import EefWarning, StorageError
from eef_framework.evaluation.formatting import ONE_TRAINING
from eef_framework.records import Cost, Example, RunMetrics, Selected, Trajectory
from eef_framework.report.build import build_report
from eef_framework.report.glossary import GLOSSARY
from eef_framework.runs import read_rows
from eef_framework.runs.settings_files import BASELINES_HEADER, write_settings_file
from eef_framework.runs.stage import Stage

HOSTILE = "</script><img src=x onerror=alert(1)><!--<script>&lt;\u2028 {{script}} \\"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def built(run, page_class):
    return page_class(build_report(run).read_text(encoding="utf-8"))


def _rewrite(path, change):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


def test_the_first_screen_says_what_was_run_and_who_won(built):
    (story,) = (text for text in built.within("story") if "expert" in text)
    assert {"shop", "shopper"} <= set(re.findall(r"\w+", story))
    answers = built.within("answer")
    assert len(answers) == 3
    assert all("eef 2" in answer for answer in answers)
    assert all(other in answer for other, answer in zip(("rft-matched 2", "clone", "expert"), answers, strict=True))


def test_an_undecided_comparison_is_not_called_a_win(run, page_class):
    metrics = RunMetrics.model_validate_json((run / "metrics.json").read_text())
    first = metrics.differences[0]
    doubtful = first.changed(success=first.success.changed(mean=0.05, low=-0.02, high=0.12))
    (run / "metrics.json").write_text(metrics.changed(differences=(doubtful,)).model_dump_json())
    read = page_class(build_report(run).read_text())
    assert len(read.within("undecided")) == len(read.within("answer")) == 1
    assert "≈" in read.within("undecided")[0]
    assert ONE_TRAINING in read.text


def test_every_row_of_the_results_is_on_the_page_with_its_interval(run, built):
    for row in RunMetrics.model_validate_json((run / "metrics.json").read_text()).rows:
        success = row.evaluation.success
        assert f"{success.mean * 100:.1f} % {success.low * 100:.1f} to {success.high * 100:.1f}" in built.text
        assert row.label in built.text


def test_the_page_has_the_settings_of_the_run_and_of_its_baselines(run, page_class):
    baselines = {"rft-matched": {"explore": {"simulations": 417}}}
    write_settings_file(run / "baselines.yaml", baselines, BASELINES_HEADER)
    read = page_class(build_report(run).read_text())
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert f"name: {config['environment']['name']}" in read.text
    assert "simulations: 417" in read.text
    (run / "baselines.yaml").write_text(yaml.safe_dump(baselines))  # a user's own, of the same name
    assert "simulations: 417" not in page_class(build_report(run).read_text()).text


def test_every_trajectory_of_the_run_is_on_the_page(run, built):
    written = [
        Trajectory.model_validate_json(line)
        for path in sorted(run.rglob("*.jsonl"))
        if path.name in ("trajectories.jsonl", "simulations.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sorted(built.data["rows"]["id"]) == sorted(row.id for row in written)
    for row in written[::17]:
        found = built.trajectory(built.number(row.id))
        assert [step["seen"] for step in found["steps"]] == [step.observation.text for step in row.steps]
        assert [step["action"] for step in found["steps"]] == list(row.actions)


def test_demonstrations_carry_their_verdicts_and_what_was_learned(run, built):
    attribution = json.loads((run / "methods/eef/2/explore/attributions.jsonl").read_text().splitlines()[0])
    number = built.number(attribution["trajectory"])
    found = [a for a in built.links(number)["attributions"] if a["training"] == "eef 2"]
    assert [s[:3] for s in found[0]["segments"]] == [
        [s["start"], s["end"], s["verdict"]] for s in attribution["segments"]
    ]
    simulation = attribution["probes"][0]["simulations"][0]
    assert built.data["rows"]["id"][found[0]["probes"][0][3][0]] == simulation
    example = json.loads((run / "methods/eef/1/select/examples.jsonl").read_text().splitlines()[-1])
    learned = built.links(built.number(example["trajectory"]))["learned"]
    assert ["eef 1", example["source"], example["states"]] in learned


def test_successes_that_were_not_learned_carry_the_reason(run, page_class):
    example = json.loads((run / "methods/eef/1/select/examples.jsonl").read_text().splitlines()[-1])
    name, reason = example["trajectory"], "another solution is preferred"
    row = Selected(trajectory=name, task=example["task"], outcome="not-selected", reason=reason)
    (run / "methods/eef/2/select/selected.jsonl").write_text(row.model_dump_json() + "\n")
    built = page_class(build_report(run).read_text(encoding="utf-8"))
    assert built.links(built.number(name))["selected"] == [["eef 2", "not-selected", reason, []]]


def test_what_filters_dropped_is_counted_with_what_was_learned(run, page_class):
    names = [json.loads(line)["id"] for line in (run / "collect/trajectories.jsonl").read_text().splitlines()[:2]]
    rows = [Selected(trajectory=name, task="t", outcome="filtered", reason="mine") for name in names]
    (run / "methods/eef/2/select/selected.jsonl").write_text("".join(f"{row.model_dump_json()}\n" for row in rows))
    read = page_class(build_report(run).read_text(encoding="utf-8"))
    assert ["2 by mine" in card for card in read.within("card")].count(True) == 1


def test_advice_stands_at_the_states_it_is_for_with_the_trainings_that_learned_it(advised, page_class):
    page = page_class(build_report(shutil.copytree(advised, advised.with_name("copy"))).read_text(encoding="utf-8"))
    explored = advised / "methods/dagger/1/explore"
    advice = list(read_rows(explored / "advice.jsonl", Trajectory))
    by_state = {(row.task.id, row.actions[:-1]): row.actions[-1] for row in advice}
    episodes = list(read_rows(explored / "simulations.jsonl", Trajectory))
    assert sum(len(episode.steps) for episode in episodes) > len(advice) > 0
    for episode in episodes:
        expected = [
            [state, by_state[episode.task.id, episode.actions[:state]], ["dagger 1"]]
            for state in range(len(episode.steps))
        ]
        assert page.links(page.number(episode.id))["advice"] == expected


def test_alternatives_stand_at_the_experts_actions_with_what_was_observed(tried, page_class):
    page = page_class(build_report(shutil.copytree(tried, tried.with_name("copy"))).read_text(encoding="utf-8"))
    expert = list(read_rows(tried / "collect/trajectories.jsonl", Trajectory))
    of_agent = list(read_rows(tried / "methods/early-experience/1/explore/alternatives.jsonl", Trajectory))
    shown = 0
    for episode in expert:
        wanted = {
            (row.prefix_length, row.actions[-1], row.steps[-1].observation.text)
            for row in of_agent
            if row.task == episode.task
            and row.actions[:-1] == episode.actions[: row.prefix_length]
            and row.actions[-1] != episode.actions[row.prefix_length]
        }
        found = page.links(page.number(episode.id))["alternatives"]
        assert sorted((state, action, seen) for state, action, seen, _ in found) == sorted(wanted)
        assert all(trainings == ["early-experience 1"] for *_, trainings in found)
        shown += len(found)
    assert shown > 0
    predicted = list(read_rows(tried / "methods/early-experience/1/select/predictions.jsonl", Example))
    by_expert = sum(example.trajectory.startswith("expert/") for example in predicted)
    assert f"{len(of_agent):,}, one action each" in page.text
    assert f"{by_expert:,} after the expert's actions, {len(predicted) - by_expert:,} after others" in page.text


def test_reflections_stand_at_the_experts_actions_with_what_became_of_them(reflected, page_class):
    page = page_class(build_report(shutil.copytree(reflected, reflected.with_name("copy"))).read_text(encoding="utf-8"))
    method = reflected / "methods/early-experience/1"
    learned = {row.trajectory for row in read_rows(method / "select/examples.jsonl", Example)}
    demonstrations = {row.id: row for row in read_rows(reflected / "collect/trajectories.jsonl", Trajectory)}
    found = {name: page.links(page.number(name))["reflections"] for name in demonstrations}
    rows = list(read_rows(method / "explore/reflections.jsonl", Trajectory))
    became = []
    for row in rows:
        (name,) = (name for name in demonstrations if row.id.endswith(f"/{name}/s{row.prefix_length}"))
        (entry,) = (entry for entry in found[name] if entry[0] == row.prefix_length)
        _, text, writer, training, status, reason, trainings = entry
        assert (writer, training) == (row.actor, "early-experience 1")
        assert trainings == [training] * (row.id in learned)
        became.append((status, text, bool(trainings)))
        assert {"lost": "hung up", "unusable": "another action", "usable": ""}[status] in reason
    assert sum(map(len, found.values())) == len(rows)
    assert set(became) == {
        ("usable", "I have to go on.", True),
        ("usable", "I have to go on.", False),
        ("unusable", "I give up.\nAction: surrender", False),
        ("lost", "", False),
    }
    counts = [sum(status == each for status, *_ in became) for each in ("usable", "unusable", "lost")]
    assert "{} usable, {} unusable, {} lost".format(*counts) in page.text


def test_an_expert_action_says_why_it_has_no_reflection(reflected, page_class, tmp_path):
    run = shutil.copytree(reflected, tmp_path / "run")
    explore = run / "methods/early-experience/1/explore"
    first = next(iter(read_rows(explore / "reflections.jsonl", Trajectory)))
    state = first.task.id, first.actions[: first.prefix_length]

    def is_there(row):
        length = row["origin"]["state"] if row.get("origin") else 0
        return (row["task"]["id"], tuple(step["action"] for step in row["steps"][:length])) == state

    def without_action(row):
        if is_there(row):
            row["steps"][-1]["response"]["parsed"] = False
        return row

    rows = [json.loads(line) for line in (explore / "reflections.jsonl").read_text().splitlines()]
    kept = [row for row in rows if not is_there(row)]
    (explore / "reflections.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    _rewrite(explore / "alternatives.jsonl", without_action)
    with pytest.warns(EefWarning):  # of the row that was taken away
        page = page_class(build_report(run).read_text(encoding="utf-8"))
    demonstrations = read_rows(run / "collect/trajectories.jsonl", Trajectory)
    absent = [
        (row, entry)
        for row in demonstrations
        for entry in page.links(page.number(row.id))["reflections"]
        if entry[4] == "absent"
    ]
    assert absent
    for row, (at, text, _, training, _, reason, _) in absent:
        assert (row.task.id, row.actions[:at]) == state
        assert (text, training) == ("", "early-experience 1")
        assert reason == "3 of the agent's 3 answers here had no action"
    count = len({row.actions[at] for row, (at, *_) in absent})
    assert f"none on {count} of the expert's actions" in page.text


def test_the_page_needs_no_network_and_allows_none(built):
    policy = next(attrs["content"] for tag, attrs in built.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    for text, kind in ((built.scripts["code"], "script-src"), (built.styles[0], "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    for tag, attrs in built.tags:
        assert not {"src", "style", "onclick"} & attrs.keys(), tag
        assert attrs.get("href", "#").startswith("#")
    assert not re.search(r"\b(https?:|url\(['\"]?[^#)]|@import)", built.styles[0] + built.scripts["code"])
    assert "innerHTML" not in built.scripts["code"]


def test_hostile_texts_stay_texts(run, page_class):
    harmless = [tag for tag, _ in page_class(build_report(run).read_text(encoding="utf-8")).tags]

    def poison(row):
        row["task"] |= {"instruction": HOSTILE, "kind": HOSTILE}
        row["steps"][0] |= {"action": HOSTILE}
        row["steps"][0]["observation"]["text"] = HOSTILE
        return row | {"actor": HOSTILE, "error": HOSTILE}

    for path in run.rglob("trajectories.jsonl"):
        _rewrite(path, poison)
    _rewrite(run / "methods/eef/1/explore/attributions.jsonl", lambda row: row | {"method": HOSTILE, "error": HOSTILE})
    _rewrite(run / "methods/eef/1/select/examples.jsonl", lambda row: row | {"source": HOSTILE})
    (run / "config.yaml").write_text(json.dumps({"environment": HOSTILE, "expert": {"name": HOSTILE}, "method": "eef"}))
    metrics = RunMetrics.model_validate_json((run / "metrics.json").read_text())
    label = metrics.rows[0].changed(label=HOSTILE)
    (run / "metrics.json").write_text(
        metrics.changed(rows=(label, *metrics.rows[1:]), notes=(HOSTILE,)).model_dump_json()
    )

    read = page_class(build_report(run).read_text(encoding="utf-8"))
    assert "img" not in {tag for tag, _ in read.tags}
    assert [tag for tag, _ in read.tags].count("script") == harmless.count("script")
    assert HOSTILE in read.data["tasks"]["title"]
    assert read.trajectory(0)["steps"][0]["action"] == HOSTILE
    assert read.text.count("<img src=x onerror=alert(1)>") >= 4


def test_an_unfinished_run_has_a_page_that_says_so(run, page_class):
    (run / "metrics.json").unlink()
    shutil.rmtree(run / "methods/eef/2/evaluate")
    read = page_class(build_report(run).read_text(encoding="utf-8"))
    (remarks,) = read.within("remarks")[1:]  # the first one is for browsers without JavaScript
    assert "metrics.json" in remarks
    (results,) = read.within("results")
    assert "eef 1" in results


def test_an_empty_folder_has_a_page(tmp_path, page_class):
    with pytest.warns(EefWarning):
        read = page_class(build_report(tmp_path).read_text(encoding="utf-8"))
    assert "config.yaml is missing" in read.text
    assert read.data["rows"]["id"] == []


def test_a_run_of_one_method_says_that_it_compares_nothing(run, page_class):
    metrics = RunMetrics.model_validate_json((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(metrics.changed(differences=()).model_dump_json())
    assert page_class(build_report(run).read_text(encoding="utf-8")).within("answer") == []


def test_a_clone_with_a_name_of_its_own_is_still_called_the_clone(run, page_class):
    metrics = (
        (run / "metrics.json")
        .read_text()
        .replace('"label": "clone"', '"label": "sft"')
        .replace("eef 2 - clone", "eef 2 - sft")
    )
    (run / "metrics.json").write_text(metrics)
    read = page_class(build_report(run).read_text(encoding="utf-8"))
    assert any("the clone (sft)" in answer for answer in read.within("answer"))
    assert "sft the clone" in read.text


def test_a_run_that_only_clones_tells_no_story_of_exploring(run, page_class):
    config = "environment: shop\nexpert: shopper\nmethod: sft-all\niterations: 0\nclone: {'on': all}\n"
    (run / "config.yaml").write_text(config)
    (run / "metrics.json").unlink()
    shutil.rmtree(run / "methods")
    story = page_class(build_report(run).read_text(encoding="utf-8")).within("story")[0]
    assert "shopper" in story
    assert "failed" in story
    assert "sft-all" not in story


def test_a_baseline_that_only_clones_is_not_told_as_further_training(run, page_class):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("baselines: [rft-matched]", "baselines: [rft-matched, sft-all]"))
    (run / "methods/sft-all/clone").mkdir(parents=True)
    text = page_class(build_report(run).read_text(encoding="utf-8")).within("story")[0]
    further, _, other = text.partition("without exploration")
    assert "sft-all" not in further
    assert "sft-all" in other
    assert "rft-matched" in further


def test_a_method_that_starts_from_the_initial_model_is_not_told_as_further_training(tried, page_class, tmp_path):
    run = shutil.copytree(tried, tmp_path / "run")
    assert yaml.safe_load((run / "config.yaml").read_text())["tune"]["start"] == "base"
    (story,) = page_class(build_report(run).read_text(encoding="utf-8")).within("story")[:1]
    assert "early-experience" in story
    assert not re.search(r"\b(further|then)\b", story, re.IGNORECASE)


def test_demonstrations_from_a_file_are_told_with_its_name_and_without_the_expert(run, page_class):
    config = yaml.safe_load((run / "config.yaml").read_text())
    for expert in ({"name": "shopper"}, None):
        changed = {**config, "expert": expert, "collect": {"trajectories": "folder/recorded.jsonl"}}
        (run / "config.yaml").write_text(yaml.safe_dump(changed))
        page = page_class(build_report(run).read_text(encoding="utf-8"))
        story = page.within("story")[0].partition("The idea of EEF")[0]
        assert "recorded.jsonl" in story
        assert "folder" not in story
        assert "expert" not in story
        assert "shopper" not in story
        assert re.search(r"\(\d+ of \d+ succeeded\)", story)


def test_a_baseline_from_a_file_has_the_name_of_its_method(run, page_class):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("baselines: [rft-matched]", "baselines: [folder/own.yaml]"))
    text = page_class(build_report(run).read_text(encoding="utf-8")).within("story")[0]
    assert "own.yaml" not in text
    assert "rft-matched" in text


def test_what_training_left_out_is_told(run, page_class):
    counted = {"examples": 156, "tokens": 4396, "tokens_with_loss": 402, "over_long": ["a", "b"], "without_loss": []}
    (run / "clone/checkpoint/preparation.json").write_text(json.dumps(counted))
    text = page_class(build_report(run).read_text(encoding="utf-8")).text
    assert re.search(r"156 examples; 402 of 4,396 tokens .*; 2 left out", text)


def test_counts_of_a_training_are_read_under_their_old_names(run, page_class):
    path = run / "clone/checkpoint/preparation.json"
    path.write_text(json.dumps({"examples": 156, "cut": ["a"], "drifted": ["b", "c", "d"]}))
    with pytest.warns(EefWarning) as caught:
        text = page_class(build_report(run).read_text(encoding="utf-8")).text
    assert {
        (each.message.code, each.message.details["old"]) for each in caught if isinstance(each.message, EefWarning)
    } == {
        ("renamed", "cut"),
        ("renamed", "drifted"),
    }
    assert re.search(r"156 examples; 1 truncated .*; 3 with tokens that differ", text)


def test_a_corrupt_line_is_told_on_the_page(run, page_class):
    with (run / "methods/eef/1/explore/simulations.jsonl").open("a") as file:
        file.write("garbage\n")
    with pytest.warns(EefWarning) as warned:
        remarks = page_class(build_report(run).read_text(encoding="utf-8")).within("remarks")
    assert "methods/eef/1/explore/simulations.jsonl: 1 " in remarks[-1]
    assert [each.message.code for each in warned] == ["run-damaged"]


def test_rows_that_a_finished_stage_lost_are_told_on_the_page(run, page_class):
    path = run / "methods/eef/1/explore/simulations.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for stage, name, count in (("explore", path.name, len(lines)), ("evaluate", "trajectories.jsonl", 6)):
        Stage(run / "methods/eef/1" / stage, f"methods/eef/1/{stage}").finish(Cost(), {name: count})
    path.write_text("".join(lines[:7]))
    (run / "methods/eef/1/evaluate/trajectories.jsonl").unlink()
    with pytest.warns(EefWarning):
        remarks = page_class(build_report(run).read_text(encoding="utf-8")).within("remarks")[-1]
    assert f"methods/eef/1/explore/simulations.jsonl: 7 of {len(lines)} " in remarks
    assert "methods/eef/1/evaluate/trajectories.jsonl: missing" in remarks


def test_metrics_that_can_not_be_read_are_not_those_of_an_unfinished_run(run, page_class):
    (run / "metrics.json").write_text("")
    with pytest.warns(EefWarning):
        remarks = page_class(build_report(run).read_text(encoding="utf-8")).within("remarks")[-1]
    assert "metrics.json can't be read" in remarks
    assert "isn't finished" not in remarks


def test_a_long_run_shows_whole_tasks_and_says_how_many(run, page_class):
    full = page_class(build_report(run).read_text(encoding="utf-8"))
    part = page_class(build_report(run, most=150).read_text(encoding="utf-8"))
    assert len(part.within("remarks")) == len(full.within("remarks")) + 1
    kept, everything = part.data["rows"]["id"], full.data["rows"]["id"]
    assert 0 < len(kept) < len(everything)
    tasks = set(part.data["tasks"]["id"])
    expected = [
        i for i, t in zip(everything, full.data["rows"]["task"], strict=True) if full.data["tasks"]["id"][t] in tasks
    ]
    assert kept == expected
    assert "attempts from the start" in part.text
    counted = re.findall(r"attempts from the start(\d+),", part.text)
    assert counted == re.findall(r"attempts from the start(\d+),", full.text)


def test_success_by_starting_state_says_that_only_attributed_tasks_count(run, page_class):
    for path in run.glob("methods/*/*/explore/attributions.jsonl"):
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    page = page_class(build_report(run).read_text(encoding="utf-8"))
    (section,) = page.within("probes")
    shown = [int(n) for n in re.findall(r"eef \d, 0: [^%]*%, of (\d+)", section)]
    everything = [int(n) for n in re.findall(r"attempts from the start(\d+)", page.text)]
    assert 0 < max(shown) < min(everything)
    assert "attributed" in section


def test_the_same_run_gives_the_same_page(run):
    assert build_report(run).read_bytes() == build_report(run).read_bytes()


def test_a_failure_leaves_the_page_there_was(run, monkeypatch):
    before = build_report(run).read_bytes()
    monkeypatch.setattr("eef_framework.report.page.glossary_list", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_report(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".report*"))


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(StorageError) as caught:
        build_report(tmp_path / "nowhere")
    assert caught.value.code == "not-a-run"


def test_unknown_parts_of_other_plugins_are_shown_as_they_are(run, page_class):
    _rewrite(run / "methods/eef/1/select/examples.jsonl", lambda row: row | {"source": "daydream"})
    (run / "config.yaml").write_text(
        "environment: {name: mars, gravity: 3.7}\nexpert: rover\nmethod: eef\nnew_key: {a: 1}\n"
    )
    text = page_class(build_report(run).read_text(encoding="utf-8")).text
    for word in ("daydream", "mars", "rover", "gravity: 3.7"):
        assert word in text


def test_every_term_on_the_page_is_explained(built):
    used = {attrs["data-term"] for tag, attrs in built.tags if attrs.get("class") == "term"}
    used |= set(re.findall(r'term\("([\w-]+)"', built.scripts["code"]))
    assert used
    assert used <= GLOSSARY.keys()


def test_the_definition_of_a_simulation_covers_attempts_from_the_start():
    _, definition = GLOSSARY["simulation"]
    assert "start" in definition
    assert "demonstration" in definition


def test_ids_on_the_page_are_unique(built):
    ids = [attrs["id"] for _, attrs in built.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_money_is_shown_where_some_was_paid(run, built, page_class):
    assert "US dollars" not in built.text
    metrics = RunMetrics.model_validate_json((run / "metrics.json").read_text())
    stages = metrics.stages | {"collect": metrics.stages["collect"].changed(usd=12.5)}
    (run / "metrics.json").write_text(metrics.changed(stages=stages).model_dump_json())
    text = page_class(build_report(run).read_text()).text
    assert "US dollars" in text
    assert "12.50" in text


def test_a_page_of_results_on_training_tasks_never_calls_them_held_out(finished, page_class, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    held_out = page_class(build_report(run).read_text())
    config["evaluate"] = {**config.get("evaluate", {}), "tasks": {"split": "train"}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    page = page_class(build_report(run).read_text())
    assert "Results on the held-out tasks" in held_out.text
    assert held_out.data["heldOut"]
    assert "Results on the training tasks (split 'train')" in page.text
    assert not page.data["heldOut"]
    assert not [group["title"] for group in page.data["groups"] if "held-out" in group["title"]]
