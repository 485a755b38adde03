"""The house as a whole: light imports, floors, docstrings, the README's code."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.validate import validate

import skmmal

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skmmal"

def test_imports_go_down():
    """The layers in pyproject.toml, of which every module is in one."""
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_importing_the_package_is_light():
    code = "import sys, skmmal; print([m for m in ('torch', 'sklearn', 'pandas', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_exported_is_there():
    for name in skmmal.__all__:
        assert getattr(skmmal, name) is not None
    assert set(skmmal.__all__) <= set(dir(skmmal))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = skmmal.nonsense
    assert f"\n## {skmmal.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {skmmal.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_what_the_quick_suite_leaves_out_is_there():
    """tests/slow.txt names folders and tests; a name that is gone would leave out nothing."""
    lines = [line for line in (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert len(lines) == len(set(lines)) > 50
    for line in lines:
        path, _, name = line.partition("::")
        found = ROOT / path
        assert found.is_dir() if not name else f"\ndef {name}(" in found.read_text(encoding="utf-8"), line


def test_every_public_module_is_there_after_a_bare_import():
    """All that lies in the folder but private modules and the command line, whose libraries are an extra."""
    names = sorted(
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if not path.name.startswith(("_", ".", "cli")) and (path.suffix == ".py" or (path / "__init__.py").is_file())
    )
    assert set(names) > {"balancing", "query", "stopping", "learner"}
    code = f"import skmmal\nfor name in {names}: assert name in dir(skmmal) and name in skmmal.__all__, name"
    # each in a process of its own would be certain that no other import helps; one after the other is quick
    code += f"\nfor name in {names}: assert getattr(skmmal, name).__name__ == 'skmmal.' + name"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import skmmal; print(skmmal.balancing.OGM.__name__, skmmal.query.BADGE.__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "OGM BADGE\n"


def public_objects():
    modules = [skmmal]
    for info in pkgutil.walk_packages(skmmal.__path__, "skmmal."):
        if not any(part.startswith("_") for part in info.name.split(".")[1:]):
            modules.append(importlib.import_module(info.name))
    seen = {}
    for module in modules:
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                seen[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return sorted(name for name in seen if name.startswith("skmmal."))


def public_methods():
    """Methods and functions of the public classes that say something of their own, private bases' among them."""
    methods = set()
    for name in public_objects():
        module, _, class_name = name.rpartition(".")
        cls = getattr(importlib.import_module(module), class_name, None)
        for owner in inspect.getmro(cls) if inspect.isclass(cls) else []:
            for attribute, value in vars(owner).items():
                function = getattr(value, "__func__", value)
                is_ours = owner.__module__.startswith("skmmal.") and inspect.isfunction(function)
                inherits = not function.__doc__ and inspect.getdoc(getattr(cls, attribute))
                if is_ours and not attribute.startswith("_") and not inherits:
                    methods.add(f"{owner.__module__}.{owner.__qualname__}.{attribute}")
    return sorted(methods)


# what numpydoc would have and these docstrings do without: a summary on the line after the quotes, imperative verbs,
# sections beyond parameters and what is returned, words on a returned value whose type says all
IGNORED = {"GL01", "GL02", "GL03", "SS05", "SS06", "ES01", "SA01", "SA04", "EX01", "PR08", "RT02", "RT03", "YD01"}


@pytest.mark.parametrize("name", public_objects() + public_methods())
def test_docstrings_are_numpydoc(name):
    """A method without a docstring has that of the one it overrides."""
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"] if code not in IGNORED]
    assert not errors, errors


DOCUMENTED = [
    name
    for name in public_objects()
    if re.search(r"\.(query\.(?!_base)|selection\._(d2|k_center|herding|ball_cover|dense)|contributions\.|classifier\.|preprocessing\.)", name)
]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_methods_have_a_runnable_example(name):
    """Strategies, kernels and estimators say where they come from and how to call them."""
    assert ">>> " in validate(name)["docstring"]


def python_blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("index", range(len(python_blocks())))
def test_the_readmes_code_runs(index, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(python_blocks()[index], f"README block {index}", "exec"), {"__name__": "__main__"})
