// The elements of the waterfall, empty.

import {h} from "../dom.js";
import {duration, oneLine, percent} from "../format.js";

const WORTH_SAYING = 0.2;

/** All parts by name; `element` holds them. */
export function treeParts() {
  const button = (words, title, pressed) => h("button", {type: "button", class: "quiet small", title, "aria-pressed": pressed}, words);
  const parts = {
    search: h("input", {type: "search", placeholder: "Find in spans  ( / )", "aria-label": "Find in spans", spellcheck: "false"}),
    found: h("span", {class: "found", role: "status"}),
    legend: h("div", {class: "legend", role: "group", "aria-label": "Kinds of span"}),
    hint: h("span", {class: "slow-hint"}),
    unzoom: button("⤢ whole trace", "Undo the zoom (0)"),
    pathButton: button("critical path", "What the answer waited for (c)", "false"),
    foldButton: button("fold all", "Show the first two levels only"),
    unfoldButton: button("unfold all", "Show every span"),
    map: h("canvas", {"aria-hidden": "true"}),
    axis: h("div", {class: "axis"}),
    divider: h("div", {class: "divider", title: "Drag to make the names wider"}),
    grid: h("div", {class: "grid", "aria-hidden": "true"}),
    layer: h("div", {class: "layer", role: "presentation"}),
    sizer: h("div", {class: "sizer", role: "presentation"}),
    scroller: h("div", {class: "scroller", role: "tree", tabindex: "0", "aria-label": "Spans of the trace"}),
  };
  parts.mapBox = h("div", {class: "minimap", title: "Drag to zoom in, double click to zoom out"}, parts.map);
  parts.sizer.append(parts.grid, parts.layer);
  parts.scroller.append(parts.sizer);
  parts.element = assemble(parts);
  return parts;
}

function assemble({search, found, unzoom, pathButton, foldButton, unfoldButton, legend, hint, mapBox, divider, axis, scroller}) {
  return h(
    "section",
    {class: "tree", "aria-label": "Waterfall"},
    h("div", {class: "tree-tools"}, search, found, h("span", {class: "grow"}), unzoom, pathButton, foldButton, unfoldButton),
    h("div", {class: "legend-line"}, legend, hint),
    mapBox,
    h("div", {class: "tree-head"}, h("div", {class: "name"}, "Span"), divider, axis),
    scroller,
    h("p", {class: "keys"}, keyHelp()),
  );
}

function keyHelp() {
  const said = [["↑ ↓", "move"], ["← →", "fold, unfold"], ["Enter", "details"], ["/", "find"], ["n", "next hit"], ["e", "next error"], ["z", "zoom to span"], ["0", "whole trace"], ["c", "critical path"]];
  return said.map(([key, does]) => [h("kbd", null, key), ` ${does} `]);
}

/** Where most of the time went, if one span stands out. */
export function slowHint(row, {rows, endMs, choose}) {
  if (!row || rows.length < 2 || row.selfMs / endMs < WORTH_SAYING) return null;
  const words = ` ${duration(row.selfMs)}, ${percent(row.selfMs / endMs)} of the trace`;
  return ["Most time: ", h("button", {type: "button", class: "link", on: {click: () => choose(row)}}, h("bdi", null, oneLine(row.span.name, 60))), words];
}
