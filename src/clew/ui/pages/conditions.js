// What is typed into the box of conditions, as the API's parameters. Pure.

const PIECE = /\s*((?:"(?:[^"\\]|\\.)*"|[^,"])+)(?:,|$)/g;
const CONDITION = /^\s*("(?:[^"\\]|\\.)*"|[^<>!=]*?)\s*([<>!]?)=\s*([^]*?)\s*$/;

/** `tier=gold, top_k>=5, score.rating<=2, tag=beta` as `[[name, value], …]`; a name alone asks whether there is one. */
export function conditions(text) {
  return [...(text ?? "").matchAll(PIECE)].map(([, piece]) => parameter(piece)).filter(Boolean);
}

function parameter(piece) {
  const [, key, operator, value] = piece.match(CONDITION) ?? [null, piece.trim(), "", "*"];
  if (!key) return null;
  if (key === "tag" && !operator) return ["tag", value];
  return [(key.startsWith("score.") ? key : `attr.${key}`) + operator, value];
}
