"""What people decided in a project: declared workflows, and arms with their shares of the traffic."""

from __future__ import annotations

import msgspec

from clew.graph.templates import read_template, template_graph
from clew.store.protocol import Arm, GraphStore


class Choice(msgspec.Struct, omit_defaults=True):
    """One of the two."""

    template: str = ""
    """The name of a declared workflow."""
    text: str = ""
    at_ns: int = 0
    arm: Arm | None = None


def choices_of(store: GraphStore, project: str) -> list[Choice]:
    """Give all of a project."""
    templates = [Choice(template=name, text=text, at_ns=at_ns) for name, text, at_ns in store.templates(project)]
    return [*templates, *(Choice(arm=arm) for arm in store.arms(project, None))]


def keep(store: GraphStore, project: str, choice: Choice) -> bool:
    """
    Keep *choice*; False if the store has decided the same, or something newer.

    Raises:
        BadTemplate: the workflow makes no sense.
    """
    return _keep_template(store, project, choice) if choice.arm is None else _keep_arm(store, project, choice.arm)


def _keep_template(store: GraphStore, project: str, choice: Choice) -> bool:
    have = {name: at_ns for name, _, at_ns in store.templates(project)}
    if have.get(choice.template, -1) >= choice.at_ns:
        return False
    template = read_template(choice.text, name=choice.template)
    store.save_template(project, choice.template, choice.text, template_graph(template), choice.at_ns)
    return True


def _keep_arm(store: GraphStore, project: str, arm: Arm) -> bool:
    have = store.arms(project, arm.question)
    if arm.version != len(have) + 1:
        # It is there, or the store counts its own: a version that was given never changes.
        return False
    store.add_arm(project, arm.question, arm.arm, arm.weights, arm.note, arm.created_ns)
    if arm.chosen:
        shares = {each.version: each.share for each in have if each.chosen}
        store.choose_arms(project, arm.question, {**shares, arm.version: arm.share})
    return True
