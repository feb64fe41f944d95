"""The docs name everything that users can set, call or meet; a test notices what they leave out."""

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

import clew
import clew.errors
from clew.cli.app import commands
from clew.config import SETTINGS
from clew.model import KINDS, Flag

ROOT = Path(__file__).parents[2]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_documented_in_the_words_of_the_table(setting):
    assert f"| `{setting.name}` |" in _text("docs/reference/settings.md")
    assert setting.doc in _text("docs/reference/settings.md")


@pytest.mark.parametrize("name", sorted(clew.__all__))
def test_each_public_name_is_documented(name):
    assert re.search(rf"clew\.{name}\b", _text("docs/reference/python.md"))


def _errors():
    return sorted(name for name, value in vars(clew.errors).items() if inspect.isclass(value))


@pytest.mark.parametrize("name", _errors())
def test_each_error_is_documented(name):
    assert f"`{name}`" in _text("docs/reference/errors.md")


@pytest.mark.parametrize("word", [*KINDS, *(flag.value for flag in Flag)])
def test_each_kind_and_flag_is_in_the_glossary(word):
    assert word in _text("docs/glossary.md")


def _links():
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                yield pytest.param(page, target, id=f"{page.relative_to(ROOT)} -> {target}")


@pytest.mark.parametrize(("page", "target"), list(_links()))
def test_each_link_between_pages_leads_somewhere(page, target):
    assert (page.parent / target).exists()


def _commands(command, path="clew"):
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from _commands(child, f"{path} {name}")
    else:
        yield path, command


@pytest.mark.parametrize(("path", "command"), list(_commands(get_command(commands))))
def test_each_command_and_each_of_its_options_is_documented(path, command):
    text = _text("docs/reference/cli.md")
    options = [name for option in command.params for name in option.opts if name.startswith("--") and name != "--help"]
    assert f"## `{path}`" in text
    assert [name for name in options if not re.search(rf"{name}\b", text)] == []


def test_the_architecture_places_each_file_of_the_sdk():
    """One that stands in no group is one whose work nobody has named."""
    text = _text("docs/architecture.md").partition("## Inside the SDK")[2].partition("\n## ")[0]
    files = {path.stem for path in (ROOT / "src/clew/sdk").rglob("*.py")} - {"__init__"}
    assert {name for name in files if f"`{name}`" not in text} == set()
    named = {name for row in re.findall(r"^\| (`[^|]+`) \|", text, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named - files == set()
