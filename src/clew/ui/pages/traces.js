// The traces, newest first: filter, read on, or watch them come.

import * as api from "../api.js";
import {announce, h, replace} from "../dom.js";
import {count, plural} from "../format.js";
import {strip} from "../marks/strip.js";
import {age, traceRow, tracesTable} from "../marks/trace_rows.js";
import {href} from "../route.js";
import {filterForm, howMany, toQuery} from "./filters.js";

const PAGE = 50;
const EVERY_MS = 4000;
const STRIP_EVERY = 8;
const MOST_WATCHED = 1000;

/** The list; filters live in the address, so that a view can be shared. */
export function tracesPage(host, route, app) {
  const page = new TracesPage(app);
  replace(host, page.element);
  page.update(route);
  return page;
}

class TracesPage {
  constructor(app) {
    this.app = app;
    this.said = {};
    this.traces = new Map();
    this.cursor = null;
    this.unfinished = false;
    this.rounds = 0;
    this.stop = new AbortController();
    this.body = h("tbody");
    this.table = tracesTable(this.body);
    this.filters = filterForm((said) => app.go(href(["traces"], {...said, project: this.said.project})));
    this.strip = h("section", {class: "strip", "aria-label": "Latency of the last 7 days by operation"});
    this.older = h("button", {type: "button", on: {click: () => this.readOlder()}}, "Show older");
    this.under = h("div", {class: "under"}, this.older);
    this.message = h("div", {class: "message-box"});
    this.watch = h("input", {type: "checkbox", role: "switch", checked: true});
    this.shown = h("span", {class: "shown"});
    const bar = h("div", {class: "list-bar"}, h("h1", null, "Traces"), this.shown, h("span", {class: "grow"}), h("label", {class: "check"}, this.watch, "Auto-refresh"));
    this.element = h("div", {class: "traces-page"}, this.strip, this.filters.element, bar, this.message, this.table, this.under);
    this.timer = setInterval(() => this.readNewest(), EVERY_MS);
    this.body.addEventListener("click", openRow);
  }

  /** Show what the address says now. */
  update({query}) {
    this.read(query);
    return true;
  }

  async read(said) {
    this.said = said;
    this.filters.set(said);
    this.app.title("Traces");
    this.readStrip();
    this.element.setAttribute("aria-busy", "true");
    await this.fetch({}, (answer) => {
      this.traces = new Map(answer.traces.map((trace) => [trace.trace_id, trace]));
      this.cursor = answer.next_cursor;
      this.unfinished = answer.unfinished;
      this.draw();
      announce(`${plural(this.traces.size, "trace")} shown`);
    });
    this.element.removeAttribute("aria-busy");
  }

  async readOlder() {
    this.older.disabled = true;
    await this.fetch({cursor: this.cursor}, (answer) => {
      for (const trace of answer.traces) this.traces.set(trace.trace_id, trace);
      this.cursor = answer.next_cursor;
      this.unfinished = answer.unfinished;
      this.draw();
    });
    this.older.disabled = false;
  }

  async readNewest() {
    if (!this.watch.checked || document.hidden || this.traces.size > MOST_WATCHED) return;
    this.rounds += 1;
    if (this.rounds % STRIP_EVERY === 0) this.readStrip();
    await this.fetch({}, (answer) => {
      const merged = new Map(answer.traces.map((trace) => [trace.trace_id, trace]));
      for (const [id, trace] of this.traces) if (!merged.has(id)) merged.set(id, trace);
      // Whoever looked further back than this answer goes on from there.
      if (!this.traces.size && !this.unfinished) {
        this.cursor = answer.next_cursor;
        this.unfinished = answer.unfinished;
      }
      this.traces = merged;
      this.draw();
    });
  }

  // One question at a time counts: an answer to older filters must not overwrite newer ones.
  async fetch(more, use) {
    const asked = this.said;
    const query = {...toQuery(asked, Date.now()), ...more, limit: PAGE};
    try {
      const answer = await api.traces(query, this.stop.signal);
      if (asked !== this.said) return;
      this.filters.refuse(null);
      use(answer);
    } catch (error) {
      if (asked === this.said) this.failed(error);
    }
  }

  failed(error) {
    if (error.name === "AbortError" || this.app.refused(error)) return;
    if (error.status === 400) {
      this.filters.refuse(error);
      this.traces.clear();
      this.cursor = null;
      this.draw();
      replace(this.message, h("p", {class: "loading"}, "Mend the filter above to see traces."));
    } else replace(this.message, h("p", {class: "note bad", role: "alert"}, error.message));
  }

  draw() {
    const all = [...this.traces.values()].sort(newestFirst);
    const longestMs = Math.max(0, ...all.map((trace) => trace.duration_ms ?? 0));
    const look = {longestMs, project: this.said.project};
    keep(this.body, all, look);
    this.table.hidden = !all.length;
    this.older.hidden = this.cursor === null;
    this.older.textContent = this.unfinished ? "Look further back" : "Show older";
    this.shown.textContent = all.length ? `${count(all.length)}${this.cursor === null ? "" : "+"}, newest first` : "";
    this.filters.suggest([...new Set(all.flatMap((trace) => trace.models))].sort());
    replace(this.message, all.length ? null : this.unfinished ? noneYet() : howMany(this.said) ? noneMatch() : newcomer());
  }

  async readStrip() {
    try {
      const {operations} = await api.latency({lookback_days: 7, group_by: "kind", project: this.said.project}, this.stop.signal);
      replace(this.strip, strip(operations, {project: this.said.project}));
    } catch {
      replace(this.strip); // The list is what matters here; it says itself when the server is away.
    }
  }

  close() {
    this.stop.abort();
    clearInterval(this.timer);
  }
}

function newestFirst(a, b) {
  // Nanoseconds since 1970 are past what a JavaScript number holds exactly, so they come as strings.
  const [left, right] = [BigInt(a.start_ns), BigInt(b.start_ns)];
  return left === right ? (a.trace_id < b.trace_id ? 1 : -1) : left < right ? 1 : -1;
}

// Rows that say the same stay the same elements: refreshing must not take the reader's focus or selection.
function keep(body, traces, look) {
  const had = new Map([...body.rows].map((row) => [row.dataset.trace, row]));
  const wanted = traces.map((trace) => {
    const says = JSON.stringify([trace, look]);
    const old = had.get(trace.trace_id);
    if (old?.says === says) {
      old.querySelector(".age").textContent = age(trace.started_at);
      return old;
    }
    const row = traceRow(trace, look);
    row.says = says;
    return row;
  });
  if (wanted.length !== body.rows.length || wanted.some((row, i) => row !== body.rows[i])) body.replaceChildren(...wanted);
}

// The whole row is a target; real links keep their own ways (new tab, copy).
function openRow(event) {
  if (event.target.closest("a, button") || String(getSelection())) return;
  event.target.closest("tr")?.querySelector(".request a")?.click();
}

function noneMatch() {
  return h("section", {class: "sorry"}, h("h2", null, "No trace matches"), h("p", null, "Nothing that is stored fits all of these filters. Take one away, or widen the time."));
}

function noneYet() {
  return h("section", {class: "sorry"}, h("h2", null, "None so far"), h("p", null, "Names, attributes, scores and tags are looked for in one trace after the other, and none of the newest matches. Look further back, or narrow the time, user or kind."));
}

function newcomer() {
  const code = 'import clew\n\nclew.configure(endpoint="' + location.origin + '")\n\n@clew.traced\ndef answer(question):\n    return "After seven and a half million years of thought: forty-two."\n\nanswer("What is the meaning of it all?")';
  return h(
    "section",
    {class: "sorry"},
    h("h2", null, "No traces yet"),
    h("p", null, "Two lines in your program send the first one, and this page shows it when it comes:"),
    h("pre", {class: "code"}, code),
    h("p", null, "A program that already speaks OpenTelemetry needs none: point its OTLP/HTTP exporter at ", h("code", null, `${location.origin}/v1/traces`), "."),
  );
}
