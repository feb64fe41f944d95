// The page: takes a login key out of the address before anything else, then shows the view that the address names.

import * as api from "./api.js";
import {announce, h, replace} from "./dom.js";
import {logo} from "./marks/logo.js";
import {latencyPage} from "./pages/latency.js";
import {loginPage} from "./pages/login.js";
import {tracePage} from "./pages/trace.js";
import {tracesPage} from "./pages/traces.js";
import {href, parse, takeKey} from "./route.js";

const main = document.getElementById("main");
const state = {page: null, name: "", projects: []};

/** What a page may ask of the app. */
const app = {
  /** Go to a view; `replace` when the old address is not worth going back to. */
  go(fragment, {replace: instead = false} = {}) {
    if (instead) {
      history.replaceState(null, "", fragment);
      show();
    } else location.hash = fragment;
  },
  /** Put what can be shared into the address, without showing anything anew. */
  remember(fragment) {
    history.replaceState(null, "", fragment);
    bar(parse(fragment));
  },
  title(text) {
    document.title = text ? `${text} · Clew` : "Clew";
  },
  /** Show the login when the session is over; anything else is for the page to show. */
  refused(error) {
    if (error.status !== 401 && error.status !== 403) return false;
    showLogin("Your session is over. Log in again.");
    return true;
  },
};

// Which view an address names: what it is called, and what makes it.
function viewOf({path}) {
  if (path[0] === "latency") return ["latency", latencyPage];
  return path[0] === "traces" && path.length > 1 ? ["trace", tracePage] : ["traces", tracesPage];
}

function show() {
  const route = parse(location.hash);
  const [name, view] = viewOf(route);
  bar(route);
  if (state.name === name && state.page?.update?.(route)) return;
  state.page?.close?.();
  state.name = name;
  app.title("");
  replace(main);
  state.page = view(main, route, app);
  scrollTo(0, 0);
}

function showLogin(message = "") {
  state.page?.close?.();
  state.page = null;
  state.name = "login";
  document.getElementById("top").hidden = true;
  loginPage(main, {message, enter});
}

async function enter(key) {
  await api.login(key);
  await start();
}

async function start() {
  await api.session();
  // A read key may see one project only and be refused the list; the page works without it.
  state.projects = await api.projects().catch(() => []);
  show();
}

function bar(route) {
  const {project} = route.query;
  const at = route.path[0] === "latency" ? "latency" : "traces";
  const link = (name, label) => h("a", {href: href([name], {project}), "aria-current": at === name ? "page" : null}, label);
  const top = document.getElementById("top");
  top.hidden = false;
  replace(
    top,
    brand(project),
    h("nav", {"aria-label": "Views"}, link("traces", "Traces"), link("latency", "Latency")),
    h("span", {class: "grow"}),
    state.projects.length > 1 || project ? projectChoice(route, at) : null,
    h("button", {class: "quiet", type: "button", on: {click: leave}}, "Log out"),
  );
}

function brand(project) {
  return h("a", {class: "brand", href: href(["traces"], {project}), "aria-label": "Clew: traces"}, logo(), h("b", null, "Clew"));
}

function projectChoice(route, at) {
  const chosen = route.query.project ?? "default";
  const names = [...new Set([...state.projects, chosen])];
  const change = (event) => app.go(href([at], {project: event.target.value}));
  const options = names.map((name) => h("option", {value: name, selected: name === chosen}, name));
  return h("label", {class: "project"}, "Project", h("select", {on: {change}}, options));
}

async function leave() {
  await api.logout().catch((error) => announce(error.message));
  showLogin();
}

async function open() {
  const [key, fragment] = takeKey(location.hash);
  // First of all: a key must not stay in the address, the history or a screenshot.
  if (key !== null) history.replaceState(null, "", fragment);
  try {
    await (key === null ? start() : enter(key));
  } catch (error) {
    showLogin(key === null && error.status === 401 ? "" : error.message);
  }
}

addEventListener("hashchange", () => {
  const [key] = takeKey(location.hash);
  if (key !== null || state.name === "login") open();
  else show();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
open();
