// Elements from data. What a trace contains is hostile, so there is one way in for text: text nodes.
// No markup is ever parsed, no style attribute is written (the CSP forbids it), and a link stays on this page.

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element. Props: `class`, `on` (listeners), `vars` (CSS custom properties), else attributes. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** Make an SVG element; the same props as `h`. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Put *children* in place of whatever the element held. */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  element.append(...nodes(children));
  return element;
}

function setProp(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  } else if (name === "vars") {
    for (const [key, said] of Object.entries(value)) element.style.setProperty(key, said);
  } else {
    element.setAttribute(name, allowed(name, value === true ? "" : String(value)));
  }
}

// Every prop name is written by us, never by a trace; this holds even if that is forgotten one day.
function allowed(name, value) {
  if (name === "style" || name.startsWith("on") || name === "srcdoc") throw new Error(`${name} is not set by attribute`);
  if ((name === "href" || name === "src") && !/^(#|\/ui\/)/.test(value)) throw new Error("a link stays on this page");
  return value;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/** Tell a screen reader, without moving anybody's focus. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** Ask for *work* to be done once before the next paint, however often this is called. */
export function beforePaint(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}
