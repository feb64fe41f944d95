// Every request that the page makes, and nothing else. Same origin only.

/** The server refused, or did not answer. `type` is its error's type, "" when it gave none; `status` 0 = no answer. */
export class ApiError extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

/** `{scope}` of the session; an ApiError of status 401 when there is none. */
export const session = () => call("GET", "/api/v1/session");

/** Change a key for a session cookie that scripts cannot read. */
export const login = (key) => call("POST", "/api/v1/login", {body: {key}});

export const logout = () => call("POST", "/api/v1/logout", {body: {}});

/** The names of the projects that have traces. */
export const projects = async () => (await call("GET", "/api/v1/admin/projects")).projects;

/**
 * `{traces, next_cursor, unfinished}`: one page, newest first. *query* has the API's filters, `cursor` and `limit`,
 * and as `conditions` pairs whose names the user chose.
 */
export const traces = (query, signal) => call("GET", `/api/v1/admin/traces/?${encode(query)}`, {signal});

/** `{trace, spans, scores}`: one trace, spans in tree order with their payloads. */
export const trace = (traceId, project, signal) =>
  call("GET", `/api/v1/admin/traces/${encodeURIComponent(traceId)}?${encode({project})}`, {signal});

/** `{from, to, operations}`: percentiles by whatever `group_by` names. */
export const latency = (query, signal) => call("GET", `/api/v1/admin/traces/metrics/latency?${encode(query)}`, {signal});

/** `{steps, rows, cells}`: how many spans took how long, over time. */
export const latencyHeat = (query, signal) => call("GET", `/api/v1/admin/traces/metrics/latency/heat?${encode(query)}`, {signal});

/** Score a trace, or one span of it; gives the flag that the trace has now. */
export const score = (body, project) => call("POST", `/api/v1/scores?${encode({project})}`, {body});

function encode({conditions = [], ...query}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return new URLSearchParams([...given, ...conditions]);
}

async function call(method, path, {body, signal} = {}) {
  const response = await send(method, path, body, signal);
  const text = await response.text();
  if (!response.ok) throw refusal(response, text);
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, "", `The answer to ${path} is not JSON; is something else on this port?`);
  }
}

async function send(method, path, body, signal) {
  const headers = {accept: "application/json"};
  if (body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(path, {method, headers, signal, body: body && JSON.stringify(body), credentials: "same-origin"});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "Unreachable", "The Clew server does not answer. Is `clew serve` still running?");
  }
}

function refusal(response, text) {
  let error = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch {
    // Not ours: a proxy's page, say. Its status is all there is to tell.
  }
  return new ApiError(response.status, error.type ?? "", error.message ?? `The server answered ${response.status} ${response.statusText}`);
}
