"""
One trace as a tree in the terminal: a row per span, with guides, durations and a waterfall.

Draws the body of `GET /api/v1/admin/traces/{trace_id}`; fetches nothing. All that a trace
holds goes in as text: neither escape sequences nor rich's own markup mean anything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from clew.cli.text import cost, duration, one_line, payload, tokens, when
from clew.model.tokens import timeline

KIND_STYLES = {
    "root": "bold white",
    "classification": "magenta",
    "embedding": "cyan",
    "retrieval": "blue",
    "rerank": "bright_blue",
    "generation": "green",
    "tool": "yellow",
    "capability": "yellow",
    "agent": "bright_magenta",
    "guardrail": "bright_red",
    "evaluation": "bright_cyan",
    "chain": "white",
    "other": "bright_black",
}
FLAG_STYLES = {
    "USER_NEGATIVE": "bold white on red",
    "EMPTY": "bold black on yellow",
    "LOW_CONFIDENCE": "bold black on bright_yellow",
    "NORMAL": "green",
}
STATUS_STYLES = {"ok": "green", "error": "bold red", "unset": "bright_black"}

PAYLOADS = ("inputs", "outputs", "attributes")
DIM = "bright_black"

MIN_BAR_CELLS, MAX_BAR_CELLS = 12, 36
MIN_NAME_CELLS, SHORT_KIND_CELLS, GAP_CELLS = 16, 9, 2
EIGHTHS = " ▏▎▍▌▋▊▉█"
ASCII = {"●": "*", "·": "-", "→": ">", "…": "~"}
MAX_GUIDE_DEPTH = 16
"""Deeper spans are indented no further, and say how deep they are."""


class Guides(NamedTuple):
    """How the branches of the tree are drawn."""

    branch: str
    last: str
    through: str
    blank: str


FINE = Guides("├─ ", "╰─ ", "│  ", "   ")
PLAIN = Guides("|- ", "`- ", "|  ", "   ")


def print_trace(console: Console, body: dict[str, Any], link: str | None = None, *, payloads: bool = False) -> None:
    """Print one trace: a headline, its tree, its errors and scores, and *link* to the page."""
    trace, spans = body["trace"], body["spans"]
    sections = [[headline(trace), *_facts(trace)], tree(console, spans), _errors(spans), _problems(spans)]
    sections += [_scores(body["scores"])]
    if payloads:
        sections += [_payload(span, what) for span in spans for what in PAYLOADS if span[what] not in (None, {})]
    if link:
        # The link is ours, so it may be one that a terminal opens on a click.
        sections.append([Text.assemble(("page  ", DIM), Text(link, style=f"underline link {link}"))])
    for lines in filter(None, sections):
        console.print()
        for line in lines:
            # Never wrapped: a link or an id that is broken over two lines cannot be used.
            console.print(Text("  ") + (_ascii(line) if console.options.ascii_only else line), soft_wrap=True)


def _ascii(line: Text) -> Text:
    """Give *line* for a terminal without Unicode; an exception would hide the trace."""
    line.plain = "".join(one if one.isascii() else ASCII.get(one, "?") for one in line.plain)
    return line


def headline(trace: dict[str, Any]) -> Text:
    """Give the name, the duration, the status and the flag with its reason."""
    flag = trace["flag"]
    line = Text.assemble(
        ("● ", STATUS_STYLES.get(trace["status"], "")),
        (one_line(trace["name"]) or "(no name)", "bold"),
        ("  ", ""),
        (duration(trace["duration_ms"]), "bold"),
        ("  ", ""),
        (trace["status"], STATUS_STYLES.get(trace["status"], "")),
        ("  ", ""),
        (f" {flag} " if flag != "NORMAL" else flag, FLAG_STYLES.get(flag, "")),
    )
    if flag != "NORMAL":
        line.append(f"  {one_line(trace['flag_reason'])}", "italic")
    return line


def tree(console: Console, spans: Sequence[dict[str, Any]]) -> list[Text]:
    """Give the tree as lines: branch and name, kind, duration, waterfall, and what else is known."""
    fine = not console.options.ascii_only
    branches = guides([span["depth"] for span in spans], FINE if fine else PLAIN)
    labels = [_label(branch, span) for branch, span in zip(branches, spans, strict=True)]
    notes = [_notes(span) for span in spans]
    total_ms = max((span["start_ms"] + (span["duration_ms"] or 0.0) for span in spans), default=0.0)
    shape = _shape(console.width - 4, labels, spans, notes)
    lines: list[Text] = []
    for branch, label, span, note in zip(branches, labels, spans, notes, strict=True):
        bar = waterfall_bar(span, total_ms, shape.bar, fine=fine)
        lines.append(_cell(label, shape.name) + _cell(_kind(span), shape.kind) + _took(span, shape.took) + bar)
        if note and shape.notes_beside:
            lines[-1] += Text(" " * (shape.bar + 2 - bar.cell_len)) + note
        elif note:
            lines.append(Text(_below(branch), DIM) + note)
    return lines


class Shape(NamedTuple):
    """How many cells each column gets."""

    name: int
    kind: int
    took: int
    bar: int
    notes_beside: bool
    """Notes stand behind the bar; there is no room in a narrow terminal, so there they stand below."""


def _shape(width: int, labels: Sequence[Text], spans: Sequence[dict[str, Any]], notes: Sequence[Text]) -> Shape:
    kind = max(len(span["kind"]) for span in spans) if spans else 0
    took = max((len(duration(span["duration_ms"])) for span in spans), default=0)
    name = max((label.cell_len for label in labels), default=0)
    note = max((note.cell_len for note in notes), default=0)
    gaps = 3 * GAP_CELLS
    beside = width - name - kind - took - note - gaps - GAP_CELLS
    if beside >= MIN_BAR_CELLS:
        return Shape(name, kind, took, min(MAX_BAR_CELLS, beside), notes_beside=True)
    if width - name - kind - took - gaps < MIN_BAR_CELLS:
        kind = min(kind, SHORT_KIND_CELLS)
        name = max(MIN_NAME_CELLS, min(name, width - kind - took - gaps - MIN_BAR_CELLS))
    bar = max(MIN_BAR_CELLS, min(MAX_BAR_CELLS, width - name - kind - took - gaps))
    return Shape(name, kind, took, bar, notes_beside=False)


def _cell(text: Text, width: int) -> Text:
    cell = text.copy()
    cell.truncate(width, overflow="ellipsis", pad=True)
    return cell + Text(" " * GAP_CELLS)


def _below(branch: str) -> str:
    """Give the guides of a line below a span: its siblings go on, it itself does not."""
    return branch.replace("├─ ", "│  ").replace("╰─ ", "   ").replace("|- ", "|  ").replace("`- ", "   ") + "   "


def guides(depths: Sequence[int], drawn: Guides = FINE) -> list[str]:
    """Give the branches before each span of a tree whose spans stand in pre-order at *depths*."""
    # Whether a later sibling follows is known from behind: seen[d] says one at depth d comes.
    lines: list[str] = []
    seen: list[bool] = []
    for depth in reversed(depths):
        shown = min(depth, MAX_GUIDE_DEPTH)
        seen = (seen + [False] * (shown + 1 - len(seen)))[: shown + 1]
        through = "".join(drawn.through if seen[level] else drawn.blank for level in range(1, shown))
        lines.append(through + (drawn.branch if seen[shown] else drawn.last) if shown else "")
        seen[shown] = True
    return lines[::-1]


def waterfall_bar(span: dict[str, Any], total_ms: float, width_cells: int, *, fine: bool = True) -> Text:
    """Give the span's time as a bar on the trace's time, at least a sliver long."""
    scale = width_cells * 8 / total_ms if total_ms > 1e-6 else 0.0
    began = min(max(0, round(span["start_ms"] * scale)), width_cells * 8 - 1)
    lasted = max(1, round((span["duration_ms"] or 0.0) * scale))
    before, into = divmod(began, 8)
    ended = min(width_cells * 8, began + lasted)
    style = "red" if span["status"] == "error" else KIND_STYLES.get(span["kind"], "").replace("bold ", "")
    if not fine:
        return Text(" " * before + "#" * max(1, ended // 8 - before), style)
    if ended // 8 > before and into >= 4:
        # The block characters fill from the left; a late start in its cell is drawn as half a cell.
        body = "▐" + "█" * (ended // 8 - before - 1)
    elif ended // 8 > before:
        body = "█" * (ended // 8 - before)
    else:
        return Text(" " * before + EIGHTHS[max(1, ended - began)], style)
    tail = EIGHTHS[ended % 8].strip() if before + len(body) < width_cells else ""
    return Text(" " * before + body + tail, style)


def _label(branch: str, span: dict[str, Any]) -> Text:
    failed = span["status"] == "error"
    style = "bold red" if failed else KIND_STYLES.get(span["kind"], "")
    text = Text.assemble((branch, DIM), (one_line(span["name"], 60) or "(no name)", style))
    if span["orphan"]:
        text.append(" (parent not seen)", "yellow")
    if span["depth"] > MAX_GUIDE_DEPTH:
        text.append(f" (depth {span['depth']})", DIM)
    return text


def _kind(span: dict[str, Any]) -> Text:
    return Text(span["kind"].upper(), KIND_STYLES.get(span["kind"], ""))


def _notes(span: dict[str, Any]) -> Text:
    parts = [
        "error" if span["status"] == "error" else "",
        one_line(span["model"], 32) if span["model"] else "",
        tokens(span),
        cost(span["cost_usd"]),
        f"first token {duration(span['first_token_ms'])}" if span["first_token_ms"] is not None else "",
        _speed(span),
        f"confidence {span['confidence']:.2f}" if span["confidence"] is not None else "",
    ]
    text = Text(" · ".join(part for part in parts if part), DIM)
    if parts[0]:
        text.stylize("bold red", 0, len(parts[0]))
    return text


def _speed(span: dict[str, Any]) -> str:
    """Tokens a second of a stream that was timed."""
    found = timeline(span["attributes"])
    return f"{found.per_second:.3g} tokens/s" if found is not None and found.per_second is not None else ""


def _took(span: dict[str, Any], width: int) -> Text:
    text = duration(span["duration_ms"])
    return Text(f"{text:>{width}}" + " " * GAP_CELLS, "yellow" if span["duration_ms"] is None else "")


def _facts(trace: dict[str, Any]) -> list[Text]:
    counted = [_count(trace[f"{what}_count"], what) for what in ("span", "error", "orphan")]
    facts = [
        when(trace["started_at"]),
        ", ".join(filter(None, counted)),
        tokens(trace),
        cost(trace["cost_usd"]),
        *(f"{key.removesuffix('_id')} {one_line(trace[key], 40)}" for key in _FACTS if trace[key] is not None),
        f"confidence {trace['confidence']:.2f}" if trace["confidence"] is not None else "",
    ]
    lines = [Text(" · ".join(fact for fact in facts if fact), DIM), Text(trace["trace_id"], DIM)]
    for title, key in (("asked", "input_preview"), ("answered", "output_preview")):
        if trace[key]:
            lines.append(Text.assemble((f"{title:<10}", DIM), one_line(trace[key], 160)))
    return lines


_FACTS = ("user_id", "session_id", "strategy")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}" if count else ""


def _errors(spans: Sequence[dict[str, Any]]) -> list[Text]:
    return [
        Text.assemble((f"{one_line(span['name'], 60)}: ", "bold red"), (one_line(span["status_message"], 400), "red"))
        for span in spans
        if span["status"] == "error" and span["status_message"]
    ]


def _problems(spans: Sequence[dict[str, Any]]) -> list[Text]:
    lines = [
        Text.assemble((f"{one_line(span['name'], 60)}: ", "yellow"), one_line(problem, 200))
        for span in spans
        for problem in span["problems"]
    ]
    return [Text("mended on receipt", "yellow"), *lines] if lines else []


def _scores(scores: Sequence[dict[str, Any]]) -> list[Text]:
    return [
        Text.assemble(
            ("score  ", DIM),
            f"{one_line(score['name'], 60)} {score['value']:g} of {score['best']:g} by {score['source']}",
            (f"  {one_line(score['comment'], 160)}" if score["comment"] else "", "italic"),
        )
        for score in scores
    ]


def _payload(span: dict[str, Any], what: str) -> list[Text]:
    title = Text.assemble((f"{one_line(span['name'], 60)} ", "bold"), (what, DIM))
    return [title, *(Text("  " + line) for line in payload(span[what]).split("\n"))]
