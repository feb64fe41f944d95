"""Modules that are taught when they come: now, later, or never."""

from __future__ import annotations

import importlib
import sys

import pytest

from clew.sdk.carriers.arrivals import when_loaded
from clew.sdk.outbox import outbox


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that can be imported and is not."""
    name = "clew_arrival"
    (tmp_path / f"{name}.py").write_text("import clew\nvalue = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def test_a_module_is_taught_right_after_its_import(module):
    taught = []
    when_loaded(module, lambda found: taught.append(found.value))
    when_loaded(module, lambda found: taught.append(found.value + 1))
    assert taught == []
    importlib.import_module(module)
    assert taught == [1, 2]


def test_a_module_is_taught_once_also_when_it_is_reloaded(module):
    taught = []
    when_loaded(module, lambda _: taught.append(1))
    importlib.reload(importlib.import_module(module))
    assert taught == [1]


def test_a_module_that_is_there_is_taught_at_once(module):
    importlib.import_module(module)
    taught = []
    when_loaded(module, taught.append)
    assert taught == [sys.modules[module]]


def test_a_module_that_cannot_be_taught_is_imported_all_the_same(module):
    """The next version of a library may have moved what is taught."""
    when_loaded(module, lambda found: found.nothing_of_the_kind)
    before = len(outbox.complaints)
    assert importlib.import_module(module).value == 1
    assert len(outbox.complaints) == before + 1
    outbox.forget_complaints()


def test_a_module_that_fails_fails_as_it_does(module, tmp_path):
    (tmp_path / f"{module}.py").write_text("raise ValueError('its own')")
    when_loaded(module, lambda _: None)
    with pytest.raises(ValueError, match="its own"):
        importlib.import_module(module)


def test_a_module_that_is_not_there_is_missing_as_ever():
    when_loaded("clew_no_such_module", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="clew_no_such_module"):
        importlib.import_module("clew_no_such_module")
