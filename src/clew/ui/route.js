// The address bar: `#/traces?user_id=42`, `#/traces/ID?span=…`, `#/latency`. All state that can be shared is here.

/** Read a fragment: `{path: ["traces", ID], query: {…}}`. Foreign, so the query has no prototype. */
export function parse(fragment) {
  const [path, search = ""] = splitOnce(fragment.replace(/^#\/?/, ""), "?");
  const query = Object.create(null);
  for (const [name, value] of new URLSearchParams(search)) if (value !== "") query[name] = value;
  return {path: path.split("/").filter(Boolean).map(decode), query};
}

/** Write a fragment. Empty values are left out, so that addresses stay short. */
export function href(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Take a key out of a fragment: `[key or null, the fragment without it]`. */
export function takeKey(fragment) {
  if (fragment.startsWith("#key=")) return [decode(fragment.slice(5)), "#/traces"];
  const {path, query} = parse(fragment);
  if (query.key === undefined) return [null, fragment];
  const {key, ...rest} = query;
  return [key, href(path, rest)];
}

function splitOnce(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
