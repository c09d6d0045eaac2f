"""The blocks of a page are read as a reader reads them."""

from docs.build.sweep import blocks

PAGE = """
Text, and `inline code`.

```bash
vaeorch sweep a.yaml --set x=1 \\
    --set 'y=[1, 2]'    # a comment
make test
```

<!-- not run: it needs a browser -->
```bash
vaeorch ui
```

- A list:

    ```yaml title="a.yaml"
    name: a

    run: {}
    ```
"""


def test_commands_are_split_as_a_shell_splits_them():
    first, second, _ = blocks(PAGE)
    assert first.commands() == [
        ["vaeorch", "sweep", "a.yaml", "--set", "x=1", "--set", "y=[1, 2]"],
        ["make", "test"],
    ]
    assert (first.run, second.run) == (True, False)


def test_a_block_in_a_list_loses_its_indent_and_keeps_its_title_and_line():
    *_, file = blocks(PAGE)
    assert file.text == "name: a\n\nrun: {}\n"
    assert (file.language, file.title) == ("yaml", "a.yaml")
    assert PAGE.splitlines()[file.line - 1].endswith('title="a.yaml"')
