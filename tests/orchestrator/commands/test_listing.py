"""`vaeorch list`: a table for people, and JSON for programs."""

import json

from orchestrator.storage import layout
from tests.support.one_slot import LOW
from tests.support.sweep_folders import swept


def test_a_list_has_a_line_for_each_sweep_and_the_reason_of_each_damage(tmp_path, vaeorch):
    swept(tmp_path / "whole", search=LOW, trials=4)
    swept(tmp_path / "broken", search=LOW, trials=2)
    (tmp_path / "broken" / layout.SPEC).write_text("name: [")
    code, said, err = vaeorch("list", "--out", tmp_path)
    assert (code, err) == (0, "")
    header, *lines = [line.split() for line in said.splitlines()]
    assert header == ["name", "kind", "state", "done", "best", "objective", "begun", "size"]
    assert ["whole", "sweep", "finished", "4/4", "trials"] in [line[:5] for line in lines]
    assert ["broken", "sweep", "damaged"] in [line[:3] for line in lines]
    assert said.splitlines()[-1].startswith(f"broken: {tmp_path / 'broken' / layout.SPEC}")


def test_a_list_as_json_has_plain_numbers(tmp_path, vaeorch):
    swept(tmp_path / "whole", search=LOW, trials=4)
    [entry] = json.loads(vaeorch("list", "--out", tmp_path, "--json")[1])
    assert (entry["name"], entry["done"], entry["of"], entry["note"]) == ("whole", 4, 4, "")
    assert isinstance(entry["best"], float) and isinstance(entry["bytes"], int) and entry["begun"] > 0


def test_a_folder_without_sweeps_is_no_mistake(tmp_path, vaeorch):
    assert vaeorch("list", "--out", tmp_path / "none")[:2] == (0, f"{tmp_path / 'none'}: no sweeps or runs yet.\n")
    assert vaeorch("list", "--out", tmp_path / "none", "--json")[:2] == (0, "[]\n")
