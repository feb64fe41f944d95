"""Every block of docs/howto/test-your-tracing.md runs as it stands there."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/howto/test-your-tracing.md").read_text(encoding="utf-8")
OURS = ["-p", "clew.testing.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:randomly"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)


@pytest.fixture
def project(tmp_path):
    """What the page shows, as files: a block that begins with a file's name is that file, the others are tests."""
    for number, block in enumerate(blocks("python")):
        name = re.match(r"# (\w+\.py)\n", block)
        (tmp_path / (name[1] if name else f"test_block_{number}.py")).write_text(block)
    return tmp_path


def run(folder, *options, autoload="1"):
    command = [sys.executable, "-m", "pytest", "-q", *options, str(folder)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": autoload}
    here = folder if folder.is_dir() else folder.parent
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=here, check=False)
    return done.stdout + done.stderr


def test_every_block_passes(project):
    """With no plugin but ours and pytest-asyncio, and no configuration."""
    asyncio = ["-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function"]
    told = run(project, *OURS, *asyncio, "-W", "error")
    tests = sum(block.count("def test_") for block in blocks("python"))
    assert f"{tests} passed" in told, told


def test_a_span_that_is_not_there_is_told_as_the_page_says(project):
    (project / "test_wrong.py").write_text(
        "from shop import answer\ndef test_it(clew_spans):\n    answer('Why?')\n    clew_spans['ChatOpenAi']\n"
    )
    told = run(project / "test_wrong.py", *OURS)
    [shown] = blocks("text")
    for line in shown.splitlines():
        assert line in told, told


def test_the_plugin_is_found_by_itself_and_the_page_says_how_to_do_without(tmp_path):
    """By the entry point, which an installation brings; the names of fixtures are those that pytest itself tells."""
    if "clew" not in {each.name for each in entry_points(group="pytest11")}:
        pytest.skip("this checkout is not installed")
    plain = tmp_path / "test_plain.py"
    plain.write_text("def test_it(): pass")
    options = ["--fixtures", "-p", "no:cacheprovider"]
    assert "clew_spans -- " in run(plain, *options, autoload="")

    [setting] = blocks("toml")
    (tmp_path / "pyproject.toml").write_text(setting)
    assert "clew_spans" not in run(plain, *options, autoload="")


def test_every_member_that_the_page_names_is_there_and_the_other_way_round():
    from clew.testing import CapturedSpan, CapturedSpans

    named = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", PAGE))
    members = {
        *(name for name in vars(CapturedSpans) if not name.startswith("_")),
        *(name for name in vars(CapturedSpan) if not name.startswith("_")),
        *re.findall(r"self\.(\w+)\b(?=[:\s].*=)", Path(sys.modules["clew.testing.captured"].__file__).read_text()),
    }
    assert {name for name in members if not name.startswith("_")} - named == set()
