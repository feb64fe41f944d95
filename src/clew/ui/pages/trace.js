// One trace: what it was, its waterfall, and the chosen span beside it.

import * as api from "../api.js";
import {announce, h, replace} from "../dom.js";
import {count, oneLine, plural, visible} from "../format.js";
import {href} from "../route.js";
import {plant} from "../tree.js";
import {scoresPanel} from "./scores.js";
import {spanPanel} from "./span_panel.js";
import {traceHead} from "./trace_head.js";
import {TraceTree} from "./trace_tree.js";

const AGAIN_MS = 2500;
const PATIENCE_MS = 10 * 60_000;

/** Show the trace that *route* names; reads it again while parts of it have not come. */
export function tracePage(host, route, app) {
  const page = new TracePage(host, route, app);
  page.load();
  return page;
}

class TracePage {
  constructor(host, route, app) {
    this.host = host;
    this.app = app;
    this.traceId = route.path[1];
    this.query = route.query;
    this.data = null;
    this.planted = null;
    this.tab = "span";
    this.since = Date.now();
    this.timer = 0;
    this.stop = new AbortController();
    this.head = h("header", {class: "trace-head"});
    this.tabs = h("div", {class: "tabs", role: "tablist"});
    this.body = h("div", {class: "panel-body", role: "tabpanel"});
    this.panel = h("aside", {class: "panel", "aria-label": "Details", tabindex: "-1"}, this.tabs, this.body);
    this.tree = new TraceTree({onSelect: (row) => this.chosen(row), onOpen: () => this.panel.focus()});
    this.shortcuts = (event) => this.onKey(event);
    addEventListener("keydown", this.shortcuts);
    replace(host, h("p", {class: "loading"}, "Reading the trace…"));
  }

  close() {
    this.stop.abort();
    clearTimeout(this.timer);
    removeEventListener("keydown", this.shortcuts);
    this.tree.close();
  }

  /** Follow the address to another span of the same trace; false for anything further. */
  update({path, query}) {
    if (path[1] !== this.traceId || query.project !== this.query.project || !this.data) return false;
    this.query = query;
    this.tree.select(query.span);
    this.showPanel();
    return true;
  }

  async load() {
    try {
      const data = await api.trace(this.traceId, this.query.project, this.stop.signal);
      if (this.data) this.take(data);
      else this.open(data);
      this.soon();
    } catch (error) {
      this.failed(error);
    }
  }

  open(data) {
    replace(this.host, h("div", {class: "trace-page"}, this.head, h("div", {class: "split"}, this.tree.element, this.panel)));
    this.take(data);
    this.tree.select(this.query.span);
    this.tree.focus();
    this.showPanel();
  }

  take(data) {
    this.data = data;
    this.planted = plant(data.spans);
    this.app.title(oneLine(data.trace.input_preview || data.trace.name, 60));
    replace(this.head, traceHead(data, {query: this.query, reload: () => this.load()}));
    this.tree.show(this.planted);
    this.showPanel();
  }

  // Children are sent before their root, so a trace that is not whole may be whole in a moment.
  soon() {
    clearTimeout(this.timer);
    const {trace} = this.data;
    const whole = trace.has_root && !trace.orphan_count && !this.planted.rows.some((row) => row.running);
    if (!whole && Date.now() - this.since < PATIENCE_MS) this.timer = setTimeout(() => this.again(), AGAIN_MS);
  }

  async again() {
    // What somebody reads or writes in the panel must not be taken from under their hands.
    const busy = document.hidden || this.tab === "scores" || this.panel.contains(document.activeElement);
    const data = busy ? null : await api.trace(this.traceId, this.query.project, this.stop.signal).catch(() => null);
    if (this.stop.signal.aborted) return;
    if (data && JSON.stringify(data.trace) !== JSON.stringify(this.data.trace)) {
      const more = data.spans.length - this.data.spans.length;
      this.take(data);
      if (more > 0) announce(`${plural(more, "more span")} came.`);
    }
    this.soon();
  }

  chosen(row) {
    this.tab = "span";
    this.query = {...this.query, span: row.span.span_id};
    this.app.remember(href(["traces", this.traceId], this.query));
    this.showPanel();
  }

  showPanel() {
    const scores = this.data.scores.length;
    replace(this.tabs, this.tabButton("span", "Span"), this.tabButton("scores", scores ? `Scores ${count(scores)}` : "Scores"));
    replace(this.body, this.tab === "scores" ? this.scores() : this.span());
    this.body.scrollTop = 0;
  }

  scores() {
    const {traceId, query, data} = this;
    return scoresPanel({traceId, project: query.project, scores: data.scores, span: this.tree.selected()?.span, changed: () => this.load()});
  }

  span() {
    const row = this.tree.selected();
    return row ? spanPanel(row, {endMs: this.planted.endMs, traceId: this.traceId, query: this.query}) : [];
  }

  tabButton(name, words) {
    const click = () => {
      this.tab = name;
      this.showPanel();
      this.tabs.querySelector("[aria-selected=true]").focus();
    };
    return h("button", {type: "button", role: "tab", "aria-selected": String(this.tab === name), on: {click}}, words);
  }

  onKey(event) {
    const typing = event.target.closest?.("input, textarea, select");
    if (event.key === "/" && !typing && this.data) {
      event.preventDefault();
      this.tree.focusSearch();
    } else if (event.key === "Escape" && this.panel.contains(event.target)) this.tree.focus();
  }

  failed(error) {
    if (error.name === "AbortError" || this.app.refused(error)) return;
    const missing = `No trace ${visible(this.traceId)} is stored in this project. It may not have been sent yet.`;
    const back = h("a", {href: href(["traces"], {project: this.query.project})}, "All traces");
    const again = h("button", {type: "button", on: {click: () => this.load()}}, "Try again");
    this.data = null;
    replace(this.host, h("section", {class: "sorry", role: "alert"}, h("h1", null, "This trace cannot be shown"), h("p", null, error.status === 404 ? missing : error.message), h("p", null, back, " ", again)));
  }
}
