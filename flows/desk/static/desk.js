// What every page of the desk shares: asking the server, and telling the person.

export const token = () => document.querySelector('meta[name="form-token"]').content;

export class Refused extends Error {
  constructor(status, told) {
    super(told.detail || `the server answers ${status}`);
    this.status = status;
    this.told = told;
  }
}

const ended = () => new Refused(401, { detail: "Your session has ended: sign in in another tab, then do this again; nothing here is lost." });

/** The word for the forms of a session that was begun in another tab since, by the same person. */
async function renewed() {
  const answer = await fetch("/api/me", { headers: { Accept: "application/json" }, credentials: "same-origin" });
  if (answer.status === 401) throw ended();
  if (!answer.ok) return false;
  const me = await answer.json();
  const mine = document.querySelector(".who bdi")?.textContent;
  if (me.name !== mine) throw new Refused(403, { detail: `This page is ${mine}'s, and ${me.name} is signed in by now.` });
  const meta = document.querySelector('meta[name="form-token"]');
  const isNew = meta.content !== me.form_token;
  meta.content = me.form_token;
  return isNew;
}

/** Ask the server, with an object, a form or a file; JSON comes back, the text of a page, or a picture. Throws Refused with what it says. */
export async function ask(url, { method = "GET", body, as = "json", signal } = {}) {
  const kinds = { json: "application/json", text: "text/html", blob: "image/*" };
  const headers = { Accept: kinds[as] };
  if (method !== "GET") headers["X-CSRF-Token"] = token();
  const isJson = body !== undefined && !(body instanceof Blob || body instanceof URLSearchParams);
  if (isJson) headers["Content-Type"] = "application/json";
  else if (body instanceof Blob) headers["Content-Type"] = "application/octet-stream";
  let answer;
  try {
    answer = await fetch(url, {
      method, headers, signal, credentials: "same-origin",
      body: isJson ? JSON.stringify(body) : body,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { detail: "The server does not answer." });
  }
  if (answer.status === 403 && method !== "GET" && await renewed()) return ask(url, { method, body, as, signal });
  if (answer.status === 401 || (answer.redirected && new URL(answer.url).pathname === "/sign-in")) throw ended();
  if (!answer.ok) {
    let told = {};
    try { told = await answer.json(); } catch { /* no JSON */ }
    throw new Refused(answer.status, told);
  }
  return answer[as]();
}

/** Tell the person something, for a while; with a button where there is something to do. */
export function toast(text, { action, kind = "", seconds = 6 } = {}) {
  const place = document.querySelector("[data-toasts]");
  const said = document.createElement("div");
  said.className = `toast ${kind}`;
  said.append(text);
  const gone = () => said.remove();
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = action.text;
    button.addEventListener("click", () => { gone(); action.run(); });
    said.append(button);
  }
  place.append(said);
  while (place.children.length > 4) place.firstChild.remove();
  setTimeout(gone, seconds * 1000);
  return gone;
}

/** Whether a key is meant for a field, and not for the page. */
export const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable ||
    target.matches("textarea, select, input:not([type=checkbox]):not([type=range]):not([type=button])"));

/** What is decided meanwhile, by whomever. */
export function listen(onDecided, onMissed) {
  const source = new EventSource("/api/events");
  source.addEventListener("decided", (event) => onDecided(JSON.parse(event.data)));
  source.addEventListener("missed", onMissed);
  return source;
}

// What a filter says is what is shown: nobody decides about one thing while the form names another.
for (const field of document.querySelectorAll(".choose .filters")) field.addEventListener("change", () => field.requestSubmit());
