import os

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from orchestrator.checks.read import read_spec
from orchestrator.space.trials import list_trials
from orchestrator.spec.diagnostics import SpecError, read_path, show_path
from orchestrator.spec.yaml_file import override, read_yaml
from tests.support.specs import TINY, changed, refused, spec_of

FILES = (
    (b"", "1: is empty."),
    (b"# only a comment\n", "1: is empty."),
    (b"- a\n", "1: must hold a mapping, not [a]."),
    (b"just text\n", "1: must hold a mapping, not 'just text'."),
    (b"name: x\nrun: [1,\n", "3: is not YAML: "),
    (b"name: x\nrun: a: b\n", "2: is not YAML: "),
    (b"name: x\n\tepochs: 3\n", "2: is not YAML: "),
    (b"name: 'x\n", "2: is not YAML: "),
    (b"name: *there\n", "1: is not YAML: "),
    (b"name: x\n---\nname: y\n", "2: is not YAML: "),
    (b"name: x\nrun: \x07\n", "2: is not YAML: the character 0x7 is not allowed."),
    (b"name: x\nrun: \xff\n", "2: is not text in UTF-8."),
    (b"a: " + b"[" * 2000, "1: is nested too deeply, or holds an alias of itself."),
    (b"a: &a [*a]\n", "1: is nested too deeply, or holds an alias of itself."),
    (b"run:\n  epochs: 1\n  epochs: 2\n", "3: run.epochs: is written twice, first at spec.yaml:2. Remove one."),
    (b"1: x\n", "1: a key must be text"),
    (b"[1, 2]: x\n", "1: a key must be text"),
    (b"name: x\n<<: {a: 1}\n", "2: a key must be text"),
    (b"name: !!int x\n", "1: name: 'x' cannot be read as int."),
    (b"name: !mine x\n", "1: name: the tag !mine is not read here"),
    (b"a: !!set {b, c}\n", "1: a: the tag !!set is not read here"),
    (b"a: [1, !!binary aGk=]\n", "1: a[1]: the tag !!binary is not read here"),
    (b"%YAML 1.3\n---\nname: x\n", "1: is not YAML 1.2: remove the line that begins with %YAML."),
    (b"%TAG ! x\n---\n%YAML 1.3\n---\na: 1\n", "3: is not YAML 1.2: remove the line that begins with %YAML."),
    (b'name: x\nrun: "\\U00110000"\n', "2: is not YAML: an escape such as \\U00110000 names no character."),
    (b'name: x\nrun: "\\U99999999"\n', "2: is not YAML: an escape such as \\U00110000 names no character."),
    (b'name: "\\ud800"\n', "1: name: holds '\\ud800', half of a character. Write the character itself."),
    (b'name: x\n"a\\udc00": 1\n', "2: holds '\\udc00', half of a character. Write the character itself."),
    (b'a: !!int ""\n', "1: a: '' cannot be read as int."),
    (b'a: !!float ""\n', "1: a: '' cannot be read as float."),
)


@pytest.mark.parametrize(("content", "line"), FILES, ids=[line for _, line in FILES])
def test_a_file_that_is_no_mapping_in_plain_yaml_is_refused_with_its_line(tmp_path, content, line):
    (told,) = refused(tmp_path, content)
    assert told.startswith(f"spec.yaml:{line}") and "\n" not in told


def test_aliases_that_grow_without_end_are_refused(tmp_path):
    text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    (told,) = refused(tmp_path, text)
    assert told.endswith("holds more than 100,000 values.")


def test_text_that_aliases_make_grow_is_refused(tmp_path):
    (told,) = refused(tmp_path, f"s: &s {'x' * 100_000}\na: [{', '.join(['*s'] * 100)}]\n")
    assert told == "spec.yaml:1: holds more than 2 MiB, aliases with all their copies."


@pytest.mark.parametrize("text", ["a: " + "[" * 500_000, "a: " + "{a: " * 300_000, "- " * 500_000, "? " * 500_000])
def test_text_that_is_nested_without_end_is_refused(tmp_path, text):
    (told,) = refused(tmp_path, text)
    assert told == "spec.yaml:1: is nested too deeply, or holds an alias of itself."


def test_aliases_within_aliases_are_refused_where_nobody_could_read_them(tmp_path):
    (told,) = refused(tmp_path, "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 150)))
    assert told == "spec.yaml:1: is nested too deeply, or holds an alias of itself."


def test_what_has_no_end_or_is_no_file_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for file in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(SpecError, match=f"^{file}: is no file, but a folder, a pipe or a device. Name a file"):
            read_spec(file)


def test_a_file_that_is_too_large_for_a_spec_is_refused_unparsed(tmp_path):
    (told,) = refused(tmp_path, "a: [" + "1, " * 2_000_000 + "]")
    assert told == "spec.yaml: holds more than 2 MiB. Write a range, or several files."


def test_a_whole_number_that_no_float_reaches_is_refused(tmp_path):
    (told,) = refused(tmp_path, changed("epochs: 6", f"epochs: 0x{'f' * 9000}"))
    assert "run.epochs: '0xfff" in told and told.endswith("cannot be read as int.")


@pytest.mark.parametrize("setting", ["a." * 9000 + "b=1", "run.epochs=" + "[" * 9000, f"run.epochs=0x{'f' * 9000}"])
def test_a_setting_without_measure_is_refused(tmp_path, setting):
    (told,) = refused(tmp_path, TINY, setting)
    assert told.startswith("--set ")


def test_keys_that_are_the_users_own_hold_anchors(tmp_path):
    text = f"x-shared: &few {{epochs: &epochs 2}}\n{TINY}".replace("epochs: 6", "epochs: *epochs")
    assert spec_of(tmp_path, text).run.epochs == 2


@pytest.mark.parametrize("tag", ["object/apply:os.system", "name:os.system", "object/new:os.system", "module:os"])
def test_yaml_constructs_no_object(tmp_path, tag):
    (told,) = refused(tmp_path, f"name: x\nrun: !!python/{tag} ['touch {tmp_path}/made']\n")
    assert told.startswith(f"spec.yaml:2: run: the tag !!python/{tag} is not read here")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("key", ["<<epochs", "<choice>", "[key]", "a.b", "[0]", "", " ", "a\\nb", "\\e[31m", "<"])
def test_any_key_can_be_unknown_and_takes_one_printable_line(tmp_path, key):
    for text in (f'{TINY}"{key}": 1\n', changed("epochs: 6", f'epochs: 6\n  "{key}": 1')):
        (told,) = refused(tmp_path, text)
        assert ": unknown key. " in told and told.isprintable()


PIECES = (
    *"{}[]:,'#\n",
    "%YAML 1.3\n---\n",
    '"\\ud800"',
    '"\\U00110000"',
    '!!int ""',
    "-1",
    "1e-4",
    "null",
    "name",
    "choice",
    "grid",
    "&a ",
    "*a ",
    "!!x ",
)
EDITS = strategies.tuples(strategies.integers(0, len(TINY)), strategies.sampled_from(PIECES))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.lists(EDITS, min_size=1, max_size=4))
def test_whatever_the_file_holds_it_is_a_spec_or_the_users_mistake(tmp_path, edits):
    text = TINY
    for position, piece in edits:
        text = text[:position] + piece + text[position:]
    try:
        assert list_trials(spec_of(tmp_path, text))
    except SpecError as error:
        assert error.lines and all(line.isprintable() for line in error.lines)


def test_structural_mistakes_are_told_together(tmp_path):
    assert [one[: len("spec.yaml:1")] for one in refused(tmp_path, "a: !x 1\nb: !y 2\nb: 3\n")] == [
        "spec.yaml:1",
        "spec.yaml:2",
        "spec.yaml:3",
    ]


OPENED = [("absent.yaml", "No such file or directory"), ("/dev/null/x", "Not a directory")]


@pytest.mark.parametrize(("file", "why"), OPENED)
def test_a_file_that_cannot_be_opened_says_why(file, why):
    with pytest.raises(SpecError) as error:
        read_spec(file)
    assert error.value.lines == (f"{file}: cannot be read: {why}.",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(TINY)
    file.chmod(0)
    with pytest.raises(SpecError, match="cannot be read: Permission denied"):
        read_spec(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-1E+2", -100.0),
        ("1_000", 1000),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("'true'", "true"),
        ("on", "on"),
        ("yes", "yes"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("", None),
        ('"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_yaml_is_read_as_version_1_2(tmp_path, text, value):
    file = tmp_path / "values.yaml"
    file.write_text(f"a: {text}\n")
    read = read_yaml(file).values["a"]
    assert read == value and type(read) is type(value)


def test_each_value_has_its_line_inside_lists_too(tmp_path):
    file = tmp_path / "values.yaml"
    lines = ("search:", "  method:", "    choice:", "      - {name: a}", "      - name: b", "        mapping:")
    file.write_text("\n".join((*lines, "          gamma: 1")))
    document = read_yaml(file)
    path = read_path("search.method.choice[1].mapping.gamma")
    assert document.place(path).text == f"{file}:7"
    assert document.place(read_path("search.method.choice[0].name")).text == f"{file}:4"
    assert document.place((*path[:-1], "absent")).text == f"{file}:6"
    assert show_path(path) == "search.method.choice[1].mapping.gamma"


def test_an_alias_is_read_at_each_of_its_places(tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text("a: &one {b: 1}\nc: *one\n")
    assert read_yaml(file).values == {"a": {"b": 1}, "c": {"b": 1}}


def test_settings_override_values_and_add_them(tmp_path):
    search = "search={network.latent_dim: {randint: [1, 9]}}"
    more = ("run.optimizer.plateau.factor=0.25", "resources.cpus_per_worker=2")
    spec = spec_of(tmp_path, TINY, "run.epochs=2", "trials=3", "run.method={name: vae}", search, *more)
    assert (spec.run.epochs, spec.trials, spec.run.method.name) == (2, 3, "vae")
    assert list(spec.search) == ["network.latent_dim"]
    assert spec.run.optimizer.plateau.factor == 0.25
    assert spec.run.optimizer.lr == 1e-3
    assert spec.resources.cpus_per_worker == 2


def test_a_setting_below_search_is_one_path(tmp_path):
    spec = spec_of(tmp_path, TINY, "search.network.latent_dim={randint: [2, 3]}", "search.seed={grid: [0, 1]}")
    assert spec.search["network.latent_dim"].randint == (2, 3)
    assert spec.search["seed"].grid == (0, 1)


def test_a_later_setting_wins(tmp_path):
    assert spec_of(tmp_path, TINY, "run.epochs=2", "run.epochs=3").run.epochs == 3


SETTINGS = (
    ("run.epochz=2", "run.epochz: unknown key. Did you mean 'epochs'? Known: method, network,"),
    ("runn.epochs=2", "runn: unknown key. Did you mean 'run'?"),
    ("run.epochs=two", "run.epochs: must be a whole number, not 'two'."),
    ("run.epochs=", "run.epochs: must be a whole number, not nothing."),
    ("run.epochs.x=2", "run.epochs: must be a whole number, not {x: 2}."),
    ("run.epochs=[2", "is not YAML: "),
    ("run.epochs=!!python/name:os.system", "the tag !!python/name:os.system is not read here"),
    ("run.epochs", "must be PATH=VALUE, such as run.epochs=2"),
    ("run..epochs=2", "must be PATH=VALUE, such as run.epochs=2"),
    (".run.epochs=2", "must be PATH=VALUE, such as run.epochs=2"),
    ("run.epochs]=2", "must be PATH=VALUE, such as run.epochs=2"),
    ("run.epochs=%YAML 1.3", "is not YAML"),
    ("=2", "must be PATH=VALUE, such as run.epochs=2"),
    ("run.network.hidden[0]=2", "must be PATH=VALUE, such as run.epochs=2"),
    ("search.method.beta={uniform: [1, 0]}", "search.method.beta.uniform: must have its first number below"),
    ("search.method.bta={uniform: [0, 1]}", "search.method.bta: unknown key. Did you mean 'beta'?"),
)


@pytest.mark.parametrize(("setting", "text"), SETTINGS, ids=[setting for setting, _ in SETTINGS])
def test_a_mistake_on_the_command_line_names_the_setting(tmp_path, setting, text):
    assert refused(tmp_path, TINY, setting)[0].startswith(f"--set {setting}: {text}")


def test_mistakes_of_all_settings_are_told_together_after_those_of_the_file(tmp_path):
    told = refused(tmp_path, changed("epochs: 6", "epochs: x"), "trials=x", "run.seed=x")
    assert [one.split(": ")[0] for one in told] == ["spec.yaml:7", "--set trials=x", "--set run.seed=x"]
    assert len(refused(tmp_path, TINY, "trials", "seed")) == 2


def test_an_override_leaves_the_document_as_it_is(tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text("run: {epochs: 1}\n")
    document = read_yaml(file)
    other = override(document, ["run.epochs=2"])
    assert (document.values, other.values) == ({"run": {"epochs": 1}}, {"run": {"epochs": 2}})
    assert document.place(("run", "epochs")).text == f"{file}:1"
    assert other.place(("run", "epochs")).text == "--set run.epochs=2"
