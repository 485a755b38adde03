"""Every code block of README.md and of the pages below docs/, run as a reader would: in order, in an empty folder.

One page is one test, one namespace and one folder. What a block is follows from its language:

- ``python`` is run. An ``output`` block right below is compared with what it printed.
- ``pycon`` (``>>>``) is run and what is shown is compared.
- ``console``: each line that begins with ``$`` is run by a shell (``>`` goes on with it, and so does a line after a
  backslash), and the lines below are compared with all that it prints; none means that it prints nothing. The command has
  to succeed, unless ``<!-- fails -->`` stands above the block: then the block's last command has to fail.
- ``text``, and whatever is no code, is not run. Other languages are an error, so that no block escapes.

Outputs are compared as doctests are: white space counts as one space, ``...`` is anything, and fractions count to the digits
that are shown (``0.64`` is printed as 0.6442).

The pages are those beside this file's folder (``../..``), skmmal is whatever is installed: copy ``tests/docs``, ``docs``
and ``README.md`` into an empty folder to be sure that nothing is imported from a clone.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.evaluators.doctest import NUMBER, DocTest, DocTestRunner, OutputChecker
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.parsers.myst import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
MADE_BY_THE_BUILD = {"auto_examples", "cards", "generated"}
NOT_RUN = re.compile(r"text|output|\{.*\}.*")  # a directive's content is no code of its own, or nested and seen for itself
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | NUMBER
SECONDS = 1200  # a command on a busy machine
ENVIRONMENT = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "SKMMAL_PROGRESS": "off",  # what commands say must not depend on how fast the machine is
    "COLUMNS": "120",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "PYTHONUNBUFFERED": "1",  # what goes to both streams comes in order
    "MPLBACKEND": "agg",
    "HF_HUB_OFFLINE": "1",  # no page needs a network
}


def pages() -> list[Path]:
    """README.md and the pages that are written by hand."""
    written = [
        path
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if not any(part in MADE_BY_THE_BUILD or part.startswith("_") for part in path.relative_to(ROOT).parts)
    ]
    return [ROOT / "README.md", *written]


def difference(shown: str, printed: str, what: str) -> str | None:
    """None if the output is as shown, else a text that says how they differ."""
    checker, example = OutputChecker(), doctest.Example(what, f"{shown.rstrip()}\n" if shown.strip() else "")
    printed = printed if printed.strip() else ""
    if checker.check_output(example.want, printed, FLAGS):
        return None
    return f"{what}\n{checker.output_difference(example, printed, FLAGS)}"


def run_python(example: Example) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        PythonEvaluator()(example)
    example.document.printed = example.end, printed.getvalue()


def compare_output(example: Example) -> str | None:
    end, printed = getattr(example.document, "printed", (-1, ""))
    if end < 0 or example.document.text[end : example.start].strip("`\n ~"):
        return "an output block belongs right below the python block that prints it"
    return difference(example.parsed, printed, "the python block above")


def run_pycon(example: Example) -> str:
    cells = doctest.DocTestParser().get_examples(example.parsed)
    if not cells:
        return "a pycon block holds no >>>"
    report: list[str] = []
    runner = DocTestRunner(FLAGS)
    runner.run(DocTest(cells, example.namespace, example.path, None, 0, None), clear_globs=False, out=report.append)
    return "".join(report)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block and the output shown below it."""
    command, shown = "", ""
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], ""
        elif command and not shown and (line.startswith("> ") or line.rstrip() == ">"):
            command += line[2:]
        elif command and not shown and command.endswith("\\\n"):
            command += line
        elif command:
            shown += line
        else:
            raise ValueError(f"a console block begins with '$ ', not with {line!r}")
    yield command, shown


def run_console(example: Example) -> str | None:
    fails = example.document.text[: example.start].rstrip().endswith("<!-- fails -->")
    steps = list(commands(example.parsed))
    for number, (command, shown) in enumerate(steps, start=1):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
        )
        if (done.returncode != 0) != (fails and number == len(steps)):
            return f"$ {command}ended with exit status {done.returncode}:\n{done.stdout}"
        if differs := difference(shown, done.stdout, f"$ {command}"):
            return differs
    return None


PARSERS = [
    CodeBlockParser("python", run_python),
    CodeBlockParser("output", compare_output),
    CodeBlockParser("pycon", run_pycon),
    CodeBlockParser("console", run_console),
]
RUN = {parser.language for parser in PARSERS}


def run_page(path: Path) -> int:
    """Run the blocks of a page in the present folder; return how many."""
    document = Document.parse(str(path), *PARSERS)
    document.namespace["__name__"] = "__main__"
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return len(examples)


def languages_not_known(path: Path) -> list[str]:
    """Lines with fences that are neither run nor known not to be."""
    document = Document.parse(str(path))
    wrong = []
    for region in FencedCodeBlockLexer(".*")(document):
        language = region.lexemes["language"].strip()
        read_by_ci = re.search(r"<!-- newcomer: \w+ -->\n$", document.text[: region.start])
        if language not in RUN and not NOT_RUN.fullmatch(language) and not read_by_ci:
            wrong.append(f"{document.line_column(region.start)}: {language!r}")
    return wrong


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Where a page's blocks run."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_of_a_page_run_and_print_what_is_shown(path):
    assert not languages_not_known(path), "fence with an unknown language (text if it is not to be run)"
    run_page(path)


GOOD = """
```python
import skmmal
value = 41 + 1
print("value is", value)
print(2 / 3)
```

```output
value is 42
0.667
```

- in a list:

  ```pycon
  >>> value
  42
  >>> skmmal.no_such_name
  Traceback (most recent call last):
  ...
  AttributeError: ...
  ```

:::{note}
```console
$ echo one \\
    two
one two
$ cat > file <<'END'
> a b
> END
$ cat file
a    b
$ python -c "import skmmal"
```
:::

<!-- fails -->
```console
$ cat no-such-file
cat: no-such-file: ...
```
"""


def test_a_page_that_is_right_passes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(GOOD, encoding="utf-8")
    assert not languages_not_known(page)
    assert run_page(page) == 5


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("value is 42", "value was 42"),
        ("0.667", "0.65"),
        ("  42\n", "  43\n"),
        ("one two", "one three"),
        ("a    b", ""),
        ("$ cat file\n", "$ cat file; false\n"),
        ("<!-- fails -->", ""),
        ("```output", "Text.\n\n```output"),
        ('print("value is", value)', "print(valu)"),
    ],
)
def test_a_page_that_is_wrong_fails(tmp_path, right, wrong):
    page = tmp_path / "page.md"
    assert GOOD.count(right) == 1
    page.write_text(GOOD.replace(right, wrong), encoding="utf-8")
    with pytest.raises((SybilFailure, NameError)):
        run_page(page)


def test_a_block_in_another_language_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\nls\n```\n\n```\nls\n```\n", encoding="utf-8")
    assert languages_not_known(page) == ["line 1, column 1: 'bash'", "line 5, column 1: ''"]
