// The waterfall and the tree in one: scrolls, folds, zooms, searches, and is driven by keys as well as by mouse.
// Only the rows on the screen exist, so that a trace of 32,000 spans opens like one of eight.

import {beforePaint, replace} from "../dom.js";
import {count} from "../format.js";
import {axis, gridLines} from "../marks/axis.js";
import {colours, cssValue} from "../marks/colours.js";
import {legend} from "../marks/kinds.js";
import {minimap} from "../marks/minimap.js";
import {ROW_PX, waterfall} from "../marks/waterfall.js";
import {criticalPath, haystack, slowest, unfolded} from "../tree.js";
import {slowHint, treeParts} from "./tree_parts.js";
import {dragDivider, isWhole, zoomer} from "./zoom.js";

const OVERSCAN_ROWS = 8;
const MINIMAP_FROM_ROWS = 40;

/** The tree of one trace. *onSelect(row)* when a span is chosen, *onOpen()* to look at it closely. */
export class TraceTree {
  constructor({onSelect, onOpen}) {
    this.onSelect = onSelect;
    this.tree = {rows: [], endMs: 1};
    this.shown = [];
    this.hits = [];
    this.look = {view: {fromMs: 0, toMs: 1}, selected: null, collapsed: new Set(), matches: null, path: null, onlyKind: ""};
    this.parts = treeParts();
    this.element = this.parts.element;
    this.paint = beforePaint(() => this.draw());
    this.zoom = zoomer(this.parts.mapBox, (view) => this.lookAt(view));
    this.keys = keyTable(this, onOpen);
    this.listen();
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.parts.scroller);
  }

  listen() {
    const {parts} = this;
    parts.scroller.addEventListener("scroll", this.paint, {passive: true});
    parts.scroller.addEventListener("keydown", (event) => this.onKey(event));
    parts.scroller.addEventListener("click", (event) => this.onClick(event));
    parts.scroller.addEventListener("dblclick", (event) => !event.target.closest(".fold") && this.keys.z());
    parts.search.addEventListener("input", () => this.search());
    parts.search.addEventListener("keydown", (event) => this.onSearchKey(event));
    parts.pathButton.addEventListener("click", () => this.togglePath());
    parts.foldButton.addEventListener("click", () => this.foldAll(true));
    parts.unfoldButton.addEventListener("click", () => this.foldAll(false));
    parts.unzoom.addEventListener("click", () => this.zoomOut());
    dragDivider(parts.divider, this.element, () => this.lookAt(this.look.view));
  }

  close() {
    this.resized.disconnect();
  }

  // What is shown

  /** Show *tree* (see `plant`). What was folded, chosen, searched and zoomed stays so, as far as it still can. */
  show(tree) {
    const {look} = this;
    const folded = new Set([...look.collapsed].map((index) => this.tree.rows[index].span.span_id));
    const chosen = look.selected?.span.span_id;
    if (isWhole(look.view, this.tree.endMs)) look.view = {fromMs: 0, toMs: tree.endMs};
    this.tree = tree;
    look.collapsed = new Set(tree.rows.filter((row) => folded.has(row.span.span_id)).map((row) => row.index));
    look.selected = tree.rows.find((row) => row.span.span_id === chosen) ?? null;
    if (look.path) look.path = criticalPath(tree.rows);
    this.parts.mapBox.hidden = tree.rows.length < MINIMAP_FROM_ROWS;
    this.search();
    this.explain();
    this.relayout();
    this.fit();
  }

  /** The chosen row, or null. */
  selected() {
    return this.look.selected;
  }

  /** Choose the span *spanId*, or the first one if there is none of that id. */
  select(spanId) {
    this.choose(this.tree.rows.find((row) => row.span.span_id === spanId) ?? this.tree.rows[0], {quiet: true});
  }

  focus() {
    this.parts.scroller.focus({preventScroll: true});
  }

  focusSearch() {
    this.parts.search.focus();
  }

  // The legend, and where the time went: these change with the trace, not with what is chosen.
  explain() {
    const {rows, endMs} = this.tree;
    const choose = (kind) => {
      this.look.onlyKind = kind;
      this.explain();
      this.paint();
    };
    replace(this.parts.legend, legend(rows, {only: this.look.onlyKind, choose}));
    replace(this.parts.hint, slowHint(slowest(rows), {rows, endMs, choose: (row) => this.choose(row)}));
  }

  relayout() {
    this.shown = unfolded(this.tree.rows, this.look.collapsed);
    this.parts.sizer.style.setProperty("--height", `${this.shown.length * ROW_PX}px`);
    this.paint();
  }

  fit() {
    const {map, mapBox} = this.parts;
    if (!mapBox.hidden) minimap(map, {...this.tree, colourOf: colours(this.element), errorColour: cssValue(this.element, "--bad")});
    this.lookAt(this.look.view);
  }

  lookAt(view) {
    const {parts, tree} = this;
    this.look.view = view;
    const wanted = Math.max(3, Math.round(parts.axis.clientWidth / 80));
    replace(parts.axis, axis(view, wanted));
    replace(parts.grid, gridLines(view, wanted));
    parts.unzoom.hidden = isWhole(view, tree.endMs);
    this.zoom.mark(view, tree.endMs);
    this.paint();
  }

  draw() {
    const {scroller, layer} = this.parts;
    const from = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - OVERSCAN_ROWS);
    const to = Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_PX) + OVERSCAN_ROWS;
    waterfall(layer, {rows: this.shown.slice(from, to), from, look: this.look});
    const active = this.look.selected && `span-${this.look.selected.index}`;
    if (active && document.getElementById(active)) scroller.setAttribute("aria-activedescendant", active);
    else scroller.removeAttribute("aria-activedescendant");
  }

  // Choosing and folding

  choose(row, {quiet = false} = {}) {
    if (!row) return;
    for (let above = row.parent; above; above = above.parent) this.look.collapsed.delete(above.index);
    this.look.selected = row;
    this.relayout();
    this.reveal(row);
    if (!quiet) this.onSelect(row);
  }

  reveal(row) {
    const {scroller} = this.parts;
    const top = this.shown.indexOf(row) * ROW_PX;
    if (top < scroller.scrollTop) scroller.scrollTop = Math.max(0, top - ROW_PX);
    else if (top + ROW_PX > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + 2 * ROW_PX - scroller.clientHeight;
  }

  isFolded(row) {
    return this.look.collapsed.has(row.index);
  }

  fold(row, folded) {
    if (folded) this.look.collapsed.add(row.index);
    else this.look.collapsed.delete(row.index);
    this.relayout();
  }

  foldAll(folded) {
    const below = this.tree.rows.filter((row) => folded && row.childCount && row.span.depth > 0);
    this.look.collapsed = new Set(below.map((row) => row.index));
    let row = this.look.selected;
    // Choosing unfolds what is above, so choose what still shows.
    for (let above = row?.parent; above; above = above.parent) if (this.isFolded(above)) row = above;
    if (row === this.look.selected) this.relayout();
    else this.choose(row);
  }

  step(by) {
    const at = this.shown.indexOf(this.look.selected);
    this.choose(this.shown[Math.max(0, Math.min(this.shown.length - 1, at + by))]);
  }

  page() {
    return Math.max(1, Math.floor(this.parts.scroller.clientHeight / ROW_PX) - 1);
  }

  goLeft() {
    const row = this.look.selected;
    if (row.childCount && !this.isFolded(row)) this.fold(row, true);
    else this.choose(row.parent);
  }

  goRight() {
    const row = this.look.selected;
    if (!row.childCount) return;
    if (this.isFolded(row)) this.fold(row, false);
    else this.choose(this.tree.rows[row.index + 1]);
  }

  togglePath() {
    this.look.path = this.look.path ? null : criticalPath(this.tree.rows);
    this.parts.pathButton.setAttribute("aria-pressed", String(Boolean(this.look.path)));
    this.paint();
  }

  zoomOut() {
    this.zoom.to(0, this.tree.endMs, this.tree.endMs);
  }

  zoomTo(row) {
    this.zoom.to(row.startMs, row.untilMs, this.tree.endMs);
  }

  // Searching

  search() {
    const wanted = this.parts.search.value.trim().toLowerCase();
    this.hits = wanted ? this.tree.rows.filter((row) => haystack(row).includes(wanted)) : [];
    this.look.matches = wanted ? new Set(this.hits) : null;
    this.tellHits();
    this.paint();
  }

  tellHits() {
    const at = this.hits.indexOf(this.look.selected);
    const all = count(this.hits.length);
    const found = this.hits.length ? (at < 0 ? `${all} found` : `${count(at + 1)} of ${all}`) : "none found";
    this.parts.found.textContent = this.look.matches ? found : "";
  }

  jump(rows, by) {
    const now = this.look.selected?.index ?? -1;
    const ahead = by > 0 ? rows.find((row) => row.index > now) : rows.findLast((row) => row.index < now);
    this.choose(ahead ?? rows.at(by > 0 ? 0 : -1));
    this.tellHits();
  }

  jumpToError() {
    this.jump(this.tree.rows.filter((row) => row.span.status === "error"), 1);
  }

  // Events

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(this.keys, event.key)) return;
    event.preventDefault();
    if (this.look.selected) this.keys[event.key]();
    else this.choose(this.shown[0]);
  }

  onSearchKey(event) {
    if (event.key === "Enter") this.jump(this.hits, event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      this.parts.search.value = "";
      this.search();
      this.focus();
    } else return;
    event.preventDefault();
  }

  onClick(event) {
    const row = this.tree.rows[event.target.closest("[data-index]")?.dataset.index];
    if (!row) return;
    if (event.target.closest(".fold")) this.fold(row, !this.isFolded(row));
    else this.choose(row);
  }
}

function keyTable(tree, onOpen) {
  const chosen = () => tree.look.selected;
  return {
    ArrowDown: () => tree.step(1),
    ArrowUp: () => tree.step(-1),
    PageDown: () => tree.step(tree.page()),
    PageUp: () => tree.step(-tree.page()),
    Home: () => tree.choose(tree.shown[0]),
    End: () => tree.choose(tree.shown.at(-1)),
    ArrowLeft: () => tree.goLeft(),
    ArrowRight: () => tree.goRight(),
    Enter: onOpen,
    " ": () => chosen().childCount && tree.fold(chosen(), !tree.isFolded(chosen())),
    z: () => chosen() && tree.zoomTo(chosen()),
    0: () => tree.zoomOut(),
    n: () => tree.jump(tree.hits, 1),
    N: () => tree.jump(tree.hits, -1),
    e: () => tree.jumpToError(),
    c: () => tree.togglePath(),
  };
}
