// What is dragged: a span of time over the minimap, and the border of the names.

import {h} from "../dom.js";

const SMALLEST_SHARE = 1e-6;

/** Whether *view* shows all of a trace that ends at *endMs*. */
export function isWhole(view, endMs) {
  return view.fromMs === 0 && view.toMs === endMs;
}

/** `{to(fromMs, toMs, endMs), mark(view, endMs)}` on *box*; *changed(view)* for each new view. */
export function zoomer(box, changed) {
  const window_ = h("div", {class: "window", hidden: true});
  box.append(window_);
  let endMs = 1;

  function to(fromMs, toMs, whole) {
    endMs = whole;
    const least = whole * SMALLEST_SHARE;
    const middle = (fromMs + toMs) / 2;
    const [from, until] = toMs - fromMs < least ? [middle - least / 2, middle + least / 2] : [fromMs, toMs];
    changed({fromMs: Math.max(0, from), toMs: Math.min(whole, until)});
  }

  function mark(view, whole) {
    endMs = whole;
    window_.hidden = isWhole(view, whole);
    window_.style.setProperty("--x", `${(view.fromMs / whole) * 100}%`);
    window_.style.setProperty("--w", `${((view.toMs - view.fromMs) / whole) * 100}%`);
  }

  function at(event) {
    const {left, width} = box.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - left) / width)) * endMs;
  }

  box.addEventListener("pointerdown", (event) => {
    const began = at(event);
    box.setPointerCapture(event.pointerId);
    const move = (moved) => {
      const now = at(moved);
      // A few pixels are a click that trembled, not a drag.
      if (Math.abs(now - began) / endMs > 0.005) to(Math.min(began, now), Math.max(began, now), endMs);
    };
    box.addEventListener("pointermove", move);
    box.addEventListener("pointerup", () => box.removeEventListener("pointermove", move), {once: true});
  });
  box.addEventListener("dblclick", () => to(0, endMs, endMs));
  return {to, mark};
}

/** Let *divider* set how wide the names in *element* are; *done* after each move. */
export function dragDivider(divider, element, done) {
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    const {left} = element.getBoundingClientRect();
    const move = ({clientX}) => {
      element.style.setProperty("--name-width", `${Math.max(120, Math.min(clientX - left, element.clientWidth - 160))}px`);
      done();
    };
    divider.addEventListener("pointermove", move);
    divider.addEventListener("pointerup", () => divider.removeEventListener("pointermove", move), {once: true});
  });
}
