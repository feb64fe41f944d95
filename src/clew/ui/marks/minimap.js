// A whole trace in one strip, however many spans: each is a line at its time, lower when deeper.

const LANES = 14;

/** Draw *rows* on *canvas*; `colourOf(kind)` and `errorColour` are CSS colours, `endMs` the trace's end. */
export function minimap(canvas, {rows, endMs, colourOf, errorColour}) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const deepest = rows.reduce((deep, row) => Math.max(deep, row.span.depth), 0);
  const lanes = Math.min(LANES, deepest + 1);
  const lane = (height - 6) / lanes;
  for (const row of rows) {
    const x = (row.startMs / endMs) * width;
    const w = Math.max(1, ((row.untilMs - row.startMs) / endMs) * width);
    const y = 3 + Math.min(lanes - 1, Math.floor((row.span.depth / (deepest + 1)) * lanes)) * lane;
    pen.fillStyle = row.span.status === "error" ? errorColour : colourOf(row.span.kind);
    pen.fillRect(x, y, w, Math.max(1, lane - 1));
  }
}
