// The login: a key in, a session cookie out.

import {h, replace} from "../dom.js";
import {logo} from "../marks/logo.js";

/** Show the form in *host*; *enter(key)* logs in or throws what to say. */
export function loginPage(host, {message, enter}) {
  const problem = h("p", {class: "problem", id: "login-problem", role: "alert"}, message);
  const key = h("input", {id: "key", name: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", "aria-describedby": "login-problem"});
  const button = h("button", {type: "submit", class: "primary"}, "Log in");
  async function submit(event) {
    event.preventDefault();
    problem.textContent = "";
    button.disabled = true;
    try {
      await enter(key.value.trim());
    } catch (error) {
      problem.textContent = error.status === 401 ? "This key is not known here, or may not read traces." : error.message;
      key.select();
    } finally {
      button.disabled = false;
    }
  }
  document.title = "Log in · Clew";
  replace(
    host,
    h(
      "section",
      {class: "login"},
      logo(),
      h("h1", null, "Clew"),
      h("p", null, "Follow one request through all of its steps."),
      h("form", {method: "post", on: {submit}}, h("label", {for: "key"}, "Key"), key, problem, button),
      h("p", {class: "hint"}, "The first ", h("code", null, "clew serve"), " prints a login link, or set the key yourself with ", h("code", null, "CLEW_ADMIN_KEY"), ". The key is changed for a session cookie and not kept by this page."),
    ),
  );
  key.focus();
}
