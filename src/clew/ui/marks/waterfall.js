// One trace as bars: a row per span; x is milliseconds since the trace began.
// Draws the rows that it is given and nothing else, so that a trace of 32,000 spans costs a screenful.

import {h} from "../dom.js";
import {duration, oneLine} from "../format.js";
import {place} from "./axis.js";
import {kindClass} from "./kinds.js";

export const ROW_PX = 28;
const DEEPEST_INDENT = 18;

/**
 * Draw *rows*, the first of which is number *from* of all that show.
 *
 * `look` says what is special: `view` {fromMs, toMs}, `selected` (a row or null), `collapsed` (indexes),
 * `matches` (a set of rows or null), `path` (see `criticalPath`, or null), `onlyKind` ("" for all).
 */
export function waterfall(layer, {rows, from, look}) {
  layer.style.setProperty("--top", `${from * ROW_PX}px`);
  layer.replaceChildren(...rows.map((row) => rowOf(row, look)));
}

function rowOf(row, look) {
  const {span} = row;
  const folds = row.childCount > 0;
  const open = folds && !look.collapsed.has(row.index);
  return h(
    "div",
    {
      id: `span-${row.index}`,
      class: classes(row, look),
      role: "treeitem",
      "aria-level": span.depth + 1,
      "aria-expanded": folds ? String(open) : null,
      "aria-selected": String(look.selected === row),
      "aria-label": spoken(row),
      "data-index": row.index,
    },
    nameCell(row, folds, open),
    h("div", {class: "track"}, look.path?.get(row.index)?.map((part) => pathPart(part, look.view)), bar(row, look.view)),
  );
}

function classes(row, look) {
  const marks = [
    "row",
    kindClass(row.span.kind),
    look.selected === row && "is-selected",
    row.span.status === "error" && "is-error",
    row.span.orphan && "is-orphan",
    row.running && "is-running",
    look.matches?.has(row) && "is-match",
    ((look.matches && !look.matches.has(row)) || (look.onlyKind && look.onlyKind !== row.span.kind)) && "is-dim",
  ];
  return marks.filter(Boolean).join(" ");
}

function spoken(row) {
  const {span} = row;
  const parts = [oneLine(span.name, 120), span.kind, duration(span.duration_ms)];
  if (span.status === "error") parts.push("error");
  if (span.orphan) parts.push("its parent is missing");
  return parts.join(", ");
}

function nameCell(row, folds, open) {
  const {span} = row;
  const deep = span.depth > DEEPEST_INDENT ? h("span", {class: "depth"}, span.depth) : null;
  return h(
    "div",
    {class: "name", vars: {"--depth": String(Math.min(span.depth, DEEPEST_INDENT))}},
    h("span", {class: folds ? "fold" : "leaf", "aria-hidden": "true"}, folds ? (open ? "▾" : "▸") : null),
    h("span", {class: "kind-dot", title: span.kind}),
    deep,
    h("bdi", {class: "label", title: oneLine(span.name)}, oneLine(span.name, 160) || "(no name)"),
    span.orphan && h("span", {class: "tag warn", title: "Its parent has not come; it stands here until it does"}, "orphan"),
    span.status === "error" && h("span", {class: "tag bad", title: oneLine(span.status_message) || "error"}, "error"),
    folds && !open && h("span", {class: "tag"}, `+${row.last - row.index - 1}`),
  );
}

function bar(row, view) {
  const from = place(row.startMs, view);
  const to = place(row.untilMs, view);
  if (to < 0 || from > 100) return h("span", {class: `beyond ${to < 0 ? "before" : "after"}`}, to < 0 ? "‹" : "›");
  const [left, right] = [Math.max(from, -1), Math.min(to, 101)];
  return [
    h("div", {class: "bar", title: timing(row), vars: {"--x": `${left}%`, "--w": `${right - left}%`}}),
    firstToken(row, view),
    h("span", {class: `took ${side(left, right)}`, vars: {"--x": `${left}%`, "--end": `${right}%`}}, duration(row.span.duration_ms)),
  ];
}

// The duration stands after the bar, before it when there is no room, inside when the bar fills the track.
function side(left, right) {
  if (right < 86) return "after";
  return left > 14 ? "before" : "inside";
}

function firstToken(row, view) {
  const ms = row.span.first_token_ms;
  if (ms === null || ms === undefined) return null;
  const x = place(row.startMs + ms, view);
  if (x < 0 || x > 100) return null;
  return h("i", {class: "first-token", title: `first token after ${duration(ms)}`, vars: {"--x": `${x}%`}});
}

function pathPart([fromMs, toMs], view) {
  const from = Math.max(0, place(fromMs, view));
  const to = Math.min(100, place(toMs, view));
  return to > from && h("i", {class: "path", vars: {"--x": `${from}%`, "--w": `${to - from}%`}});
}

function timing(row) {
  const {span} = row;
  const self = row.childCount ? `, ${duration(row.selfMs)} of it its own` : "";
  return `${oneLine(span.name, 80)}: ${duration(span.duration_ms)}${self}, from ${duration(row.startMs)} on`;
}
