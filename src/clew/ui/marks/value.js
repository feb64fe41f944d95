// A value that a trace carries (inputs, outputs, an attribute), readable: text as text, records as fields.
// Long ones are cut and say so; "show all" brings the rest. Keys are as hostile as values: both are text nodes.

import {h, replace} from "../dom.js";
import {count, visible} from "../format.js";

const TEXT_CHARS = 1500;
const JSON_CHARS = 12_000;
const ITEMS = 12;
const FIELDS = 60;
const DEPTH = 4;

/** *value* in readable form, with buttons to see it as JSON and to copy it. */
export function payload(value) {
  const body = h("div", {class: "value"});
  const raw = asJson(value);
  const views = {readable: () => readable(value), JSON: () => cut(raw, JSON_CHARS, "json")};
  const buttons = Object.keys(views).map((name) => h("button", {type: "button", class: "quiet small", on: {click: () => choose(name)}}, name));
  function choose(name) {
    replace(body, views[name]());
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
  }
  choose("readable");
  const plain = typeof value === "string" ? value : raw;
  // A plain text is the same in both views, so there is nothing to choose.
  return [h("div", {class: "value-tools"}, typeof value === "string" ? null : buttons, copyButton(() => plain)), body];
}

/** A button that copies what *text* gives. */
export function copyButton(text, label = "copy") {
  const button = h("button", {type: "button", class: "quiet small", on: {click: copy}}, label);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "copied";
    } catch {
      button.textContent = "not allowed here"; // Over plain http from another machine, browsers refuse.
    }
    setTimeout(() => (button.textContent = label), 1500);
  }
  return button;
}

/** *value* as elements: `readable(…)` of a part may be used by itself. */
export function readable(value, depth = 0) {
  if (value === null || value === undefined) return h("span", {class: "nothing"}, "null");
  if (typeof value === "string") return value === "" ? h("span", {class: "nothing"}, "empty text") : cut(value, TEXT_CHARS, "text");
  if (typeof value !== "object") return h("code", {class: "scalar"}, String(value));
  if (depth >= DEPTH) return cut(asJson(value), TEXT_CHARS, "json");
  if (Array.isArray(value)) return list(value, depth);
  return isMessage(value) ? message(value, depth) : fields(Object.entries(value), depth);
}

function list(items, depth) {
  if (!items.length) return h("span", {class: "nothing"}, "empty list");
  if (items.every(isScalar) && items.join("").length < 4 * TEXT_CHARS && !items.some(isLongText)) return cut(asJson(items, 0), 600, "json");
  if (items.every(isMessage)) return some(items, ITEMS, "message", (item) => message(item, depth));
  return some(items, ITEMS, "item", (item, i) => h("div", {class: "item"}, h("span", {class: "item-index"}, i + 1), readable(item, depth + 1)));
}

function fields(entries, depth) {
  if (!entries.length) return h("span", {class: "nothing"}, "nothing in it");
  return some(entries, FIELDS, "field", ([key, said]) =>
    h("div", {class: isScalar(said) && !isLongText(said) ? "field short" : "field"}, h("bdi", {class: "key"}, visible(key)), readable(said, depth + 1)),
  );
}

// One turn of a chat: who, and what they said.
function message({role, content, ...rest}, depth) {
  return h(
    "div",
    {class: "message"},
    h("bdi", {class: "role"}, visible(role)),
    readable(content, depth + 1),
    Object.keys(rest).length ? fields(Object.entries(rest), depth + 1) : null,
  );
}

function isMessage(item) {
  return item !== null && typeof item === "object" && typeof item.role === "string" && Object.hasOwn(item, "content");
}

function isScalar(value) {
  return value === null || typeof value !== "object";
}

function isLongText(value) {
  return typeof value === "string" && (value.length > 60 || value.includes("\n"));
}

function some(items, limit, noun, draw) {
  const box = h("div", {class: "some"}, items.slice(0, limit).map(draw));
  if (items.length <= limit) return box;
  const more = h("button", {type: "button", class: "more"}, `show all ${count(items.length)} ${noun}s`);
  more.addEventListener("click", () => more.replaceWith(...items.slice(limit).map((item, i) => draw(item, limit + i))));
  box.append(more);
  return box;
}

function cut(text, limit, kind) {
  const shown = h("pre", {class: kind, dir: "auto"}, visible(text.slice(0, limit)));
  // A little over the limit is shown whole: a button for three more words is a nuisance.
  if (text.length <= limit * 1.2) return replace(shown, visible(text));
  shown.append("…");
  const more = h("button", {type: "button", class: "more"}, `show all ${count(text.length)} characters`);
  more.addEventListener("click", () => {
    replace(shown, visible(text));
    more.remove();
  });
  return h("div", null, shown, more);
}

function asJson(value, indent = 2) {
  try {
    return JSON.stringify(value, null, indent) ?? "null";
  } catch {
    return "(nested too deep to write out)";
  }
}
