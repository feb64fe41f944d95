// Round places on a time axis. Pure.

import {h} from "../dom.js";
import {tick} from "../format.js";

/** Round values in [fromMs, toMs], about *wanted* of them: `{step, at: […]}`. */
export function ticks(fromMs, toMs, wanted = 6) {
  const span = toMs - fromMs;
  if (!(span > 0)) return {step: 1, at: [fromMs]};
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const at = [];
  for (let i = Math.ceil(fromMs / step - 1e-9); i * step <= toMs * (1 + 1e-12); i += 1) at.push(i * step);
  return {step, at};
}

/** Where *ms* lies in the view, in percent of its width. */
export function place(ms, view) {
  return ((ms - view.fromMs) / (view.toMs - view.fromMs)) * 100;
}

/** The axis of *view*: a label at each tick. */
export function axis(view, wanted) {
  const {step, at} = ticks(view.fromMs, view.toMs, wanted);
  const label = (ms) => {
    const x = place(ms, view);
    const end = x > 94 ? " at-end" : "";
    return h("span", {class: `tick${end}`, vars: {"--x": `${x}%`}}, tick(ms, step));
  };
  return at.map(label);
}

/** The axis' lines, to lie behind the bars. */
export function gridLines(view, wanted) {
  return ticks(view.fromMs, view.toMs, wanted).at.map((ms) => h("i", {vars: {"--x": `${place(ms, view)}%`}}));
}
