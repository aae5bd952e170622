// Review by key: step, decide, undo. Stepping decides nothing; deciding steps on.

import { ask, isTyping, listen, toast } from "./desk.js";
import { wireFilm } from "./film.js";
import { Picture, Viewer } from "./viewer.js";

const AHEAD = 3; // panes and pictures that are there before they are asked for
const place = document.getElementById("pane");
const query = place.dataset.query;
const with_ = (more) => [query, new URLSearchParams(more)].filter((part) => String(part)).join("&");

/** An item of the queue: its place, its pane as HTML, its pictures; each is asked for once. */
class Entry {
  constructor(id, at) {
    this.id = id;
    this.place = at;
  }

  fetch() {
    this.html ??= ask(`/review/pane?${with_({ item: this.id })}`, { as: "text" });
    this.html.catch(() => { this.html = null; });
    return this.html;
  }

  async prepare() {
    if (this.element) return this.element;
    const holder = document.createElement("template");
    holder.innerHTML = await this.fetch();
    this.element = holder.content.querySelector("[data-pane]");
    this.look();
    return this.element;
  }

  look() {
    const { scan, colour } = this.element.dataset;
    this.pictures ??= {
      ...(scan && { scan: new Picture(scan) }),
      ...(colour && { colour: new Picture(colour) }),
    };
  }
}

class Session {
  constructor(element) {
    this.behind = [];
    this.ahead = [];
    this.made = []; // decisions of this person, the latest last
    this.gone = new Set();
    this.hasMore = true;
    this.turn = Promise.resolve();
    if (!element?.dataset.item) return;
    this.current = new Entry(Number(element.dataset.item), element.dataset.place);
    this.current.element = element;
    this.current.look();
    this.lastPlace = this.current.place;
    this.#begin();
  }

  // --- stepping ----------------------------------------------------------------------------------

  #begin() {
    this.viewer?.close();
    const { element, pictures } = this.current;
    const stage = element.querySelector("[data-viewer]");
    this.viewer = Object.keys(pictures).length ? new Viewer(stage, pictures, { doubt: `/items/${this.current.id}/doubt.png` }) : null;
    this.shownAt = null;
    this.lookedS = 0;
    const mine = this.current;
    this.viewer?.ready.then(() => { if (this.current === mine) this.#startClock(); });
    if (!this.viewer) this.#startClock();
    wireFilm();
    this.#wire(element);
    try { sessionStorage.setItem("queue", `/review?${with_({ item: this.current.id })}`); } catch { /* not kept */ }
    this.#sayTitle();
    this.fill();
  }

  /** One step after the other, however fast keys come: each begins where the one before has led, or where it could not lead on. */
  #inTurn(run) {
    this.turn = this.turn.then(run).catch((error) => toast(error.message, { kind: "bad" }));
    return this.turn;
  }

  async #show(entry) {
    const element = await entry.prepare();
    this.current = entry;
    this.lastPlace = entry.place;
    place.replaceChildren(element);
    history.replaceState(null, "", `/review?${with_({ item: entry.id })}`);
    document.title = `${element.dataset.name || "Review"} · Review · Autochrome`;
    this.#begin();
  }

  next() { return this.#inTurn(() => this.#next()); }

  previous() { return this.#inTurn(() => this.#previous()); }

  async #next() {
    if (!this.ahead.length) await this.fill();
    const [entry] = this.ahead;
    if (!entry && this.hasMore) return; // the server did not say what
    if (!entry) { await this.#end(); return; }
    const isThere = await this.#isThere(entry);
    const isNext = this.ahead.includes(entry); // or somebody has decided about it meanwhile
    this.ahead = this.ahead.filter((other) => other !== entry);
    if (!isThere || !isNext) { await this.#next(); return; }
    if (this.current) this.behind.push(this.current);
    if (this.behind.length > 40) this.behind.shift();
    await this.#show(entry);
  }

  async #previous() {
    let entry = this.behind.at(-1);
    if (!entry && this.current?.place) {
      const page = await ask(`/api/queue?${with_({ before: this.current.place, limit: 1 })}`);
      const [one] = page.items;
      entry = one && new Entry(one.id, one.place);
    }
    if (!entry) { toast("This is the head of the queue."); return; }
    entry.html = entry.element = null; // what became of it meanwhile is to be seen
    const isThere = await this.#isThere(entry);
    if (this.behind.pop() && !isThere) { await this.#previous(); return; }
    if (this.current) this.ahead.unshift(this.current);
    await this.#show(entry);
  }

  /** Whether an item is still to be seen; it is ready to be shown then. */
  async #isThere(entry) {
    try {
      await entry.prepare();
      return true;
    } catch (error) {
      if (error.status !== 404) throw error;
      return false;
    }
  }

  /** Ask for what comes next, and for the pictures of the first few. */
  fill() {
    this.filling ??= this.#fill().finally(() => { this.filling = null; });
    return this.filling;
  }

  async #fill() {
    if (this.ahead.length <= AHEAD && this.hasMore) {
      try {
        const last = this.ahead.at(-1)?.place ?? this.current?.place ?? this.lastPlace;
        const after = last ? { after: last } : {};
        const page = await ask(`/api/queue?${with_({ ...after, limit: 10 })}`);
        const known = new Set([this.current, ...this.ahead].map((entry) => entry?.id));
        const fresh = page.items.filter((one) => !known.has(one.id) && !this.gone.has(one.id));
        this.ahead.push(...fresh.map((one) => new Entry(one.id, one.place)));
        this.hasMore = page.items.length === 10;
      } catch (error) {
        toast(error.message, { kind: "bad" });
      }
    }
    for (const entry of this.ahead.slice(0, AHEAD)) entry.prepare().catch(() => {});
  }

  async #end() {
    const said = await ask(`/review/end?${query}`, { as: "text" });
    this.viewer?.close();
    this.viewer = null;
    if (this.current) this.behind.push(this.current);
    this.current = null;
    place.innerHTML = said;
    place.querySelector("h1")?.focus();
  }

  // --- deciding ----------------------------------------------------------------------------------

  async decide(kind, why = "") {
    const entry = this.current;
    if (!entry || !this.#may(kind)) return;
    const { seen, name } = entry.element.dataset;
    const seconds = this.#stopClock();
    const one = { entry, kind, name, decision: null };
    one.done = ask(`/api/items/${entry.id}/decision`, {
      method: "POST", body: { kind, seen, why, seconds },
    });
    this.made.push(one);
    this.gone.add(entry.id);
    this.#count(-1);
    this.current = null; // it is not gone back to by stepping
    const stepped = this.next();
    try {
      const told = await one.done;
      one.decision = told.decision ?? 0;
      if (told.waits_for_another) {
        this.#count(1);
        toast(told.differs_from.length
          ? `${name}: noted. ${told.differs_from.join(", ")} would not; a third person decides.`
          : `${name}: noted. A second person must want the same.`);
      }
      entry.html = entry.element = null;
    } catch (error) {
      this.made = this.made.filter((other) => other !== one);
      this.gone.delete(entry.id);
      if (error.status !== 409) this.#count(1);
      entry.html = entry.element = null;
      await stepped;
      toast(error.status === 409 ? `Not yours any more: ${error.message}.` : `${name} is not decided: ${error.message}`, {
        kind: "bad", seconds: 15,
        action: { text: "Look at it", run: () => this.#goTo(entry) },
      });
    }
  }

  async undo() {
    const one = this.made.pop();
    if (!one) { toast("You have decided nothing here yet."); return; }
    this.undoing = one.entry.id; // what is told of it is this
    try {
      await one.done;
    } catch { this.undoing = null; return; } // it was not decided, and that is said
    try {
      const told = await ask(`/api/items/${one.entry.id}/undo?decision=${one.decision}`, { method: "POST" });
      if (told.items) {
        this.gone.delete(one.entry.id);
        if (one.decision) this.#count(1);
      }
      await this.#goTo(one.entry);
      toast(told.items ? `${one.name} waits again.` : `Not undone: somebody has decided about ${one.name} since.`);
    } catch (error) {
      if (![403, 404, 409].includes(error.status)) this.made.push(one); // it can be tried again
      toast(`Not undone: ${error.message}`, { kind: "bad" });
    } finally {
      this.undoing = null;
    }
  }

  #goTo(entry) {
    return this.#inTurn(async () => {
      entry.html = entry.element = null;
      if (this.current && this.current !== entry) this.ahead.unshift(this.current);
      this.ahead = this.ahead.filter((other) => other.id !== entry.id);
      await this.#show(entry);
    });
  }

  #may(kind) {
    const may = (this.current.element.dataset.decides || "").split(" ");
    if (may.includes(kind)) return true;
    const status = this.current.element.dataset.status;
    toast(may[0] === "" && status === "review" ? "You may look, not decide." : `It is ${status}: ${kind} does not apply.`);
    return false;
  }

  #count(by) {
    const output = document.querySelector("[data-waiting]");
    if (!output?.dataset.waiting) return;
    const now = Math.max(0, Number(output.dataset.waiting) + by);
    output.dataset.waiting = now;
    output.textContent = `${now.toLocaleString("en")} ${now === 1 ? "scan waits" : "scans wait"}`;
  }

  // --- how long it was looked at -------------------------------------------------------------------

  #startClock() { if (!document.hidden) this.shownAt = performance.now(); }

  #stopClock() {
    this.pauseClock();
    return Math.round(this.lookedS * 100) / 100;
  }

  pauseClock() {
    if (this.shownAt !== null) this.lookedS += (performance.now() - this.shownAt) / 1000;
    this.shownAt = null;
  }

  resumeClock() { if (this.current) this.#startClock(); }

  // --- what others decide ------------------------------------------------------------------------

  heard(told) {
    for (const [number, status] of Object.entries(told.items)) {
      const id = Number(number);
      if (id === this.undoing || this.made.some((one) => one.entry.id === id)) continue;
      if (status === "review") { this.#waitsAgain(id, told.who); continue; }
      if (this.gone.has(id)) continue;
      if (this.ahead.some((entry) => entry.id === id)) this.#count(-1);
      this.ahead = this.ahead.filter((entry) => entry.id !== id);
      this.gone.add(id);
      if (this.current?.id === id) {
        this.#count(-1);
        Object.assign(this.current.element.dataset, { decides: "", status });
        this.current.element.classList.add("decided");
        this.current.element.querySelector(".stand b").textContent = status;
        this.current.element.querySelector(".stand .dot").className = `dot ${status}`;
        this.current.element.querySelectorAll("[data-kind]").forEach((button) => { button.disabled = true; });
        toast(`${told.who} has decided about this one: it is ${status} now.`, { seconds: 12, action: { text: "Next", run: () => this.next() } });
      }
    }
    if (!told.whole) this.missed();
    this.fill();
  }

  /** Somebody has taken a decision back: whoever is at that item may decide about it. */
  #waitsAgain(id, who) {
    if (!this.gone.delete(id)) return;
    this.#count(1);
    if (this.current?.id !== id) return;
    toast(`${who} has taken that back: it waits again.`, { seconds: 12 });
    this.#goTo(this.current);
  }

  missed() {
    this.ahead = [];
    this.hasMore = true;
    this.fill();
  }

  // --- the pane ----------------------------------------------------------------------------------

  #wire(element) {
    for (const button of element.querySelectorAll("[data-kind]")) {
      button.addEventListener("click", (event) => {
        event.preventDefault();
        const form = button.form;
        const why = [form.elements.reason.value, form.elements.why.value.trim()].filter(Boolean).join(": ");
        if (why || button.dataset.kind === "approve") this.decide(button.dataset.kind, why);
        else askWhy(button.dataset.kind);
      });
    }
  }

  async #sayTitle() {
    const list = this.current.element.querySelector("[data-said]");
    const mine = this.current;
    if (!list || list.dataset.said || !this.viewer) return;
    await this.viewer.ready; // then the scan has been read, and its words with it
    try {
      const said = await ask(`/api/items/${mine.id}/said`);
      const names = { title: "Title", description: "Description", artist: "Artist", copyright: "Rights", credit: "Credit", identifier: "Identifier", date: "Date" };
      const rows = Object.entries(names).filter(([name]) => said[name]).flatMap(([name, text]) => {
        const term = document.createElement("dt"), words = document.createElement("dd"), isolated = document.createElement("bdi");
        term.textContent = text;
        isolated.textContent = said[name];
        words.append(isolated);
        return [term, words];
      });
      if (!rows.length) {
        const term = document.createElement("dt"), words = document.createElement("dd");
        term.textContent = "Title, rights";
        words.textContent = "The file says nothing.";
        words.className = "soft";
        rows.push(term, words);
      }
      list.replaceChildren(...rows);
      list.dataset.said = "known";
    } catch { /* the picture says that it is not to be had */ }
  }
}

// --- why ------------------------------------------------------------------------------------------

const whyDialog = document.getElementById("why");
const reasons = JSON.parse(whyDialog.querySelector("[data-why]").textContent);
let asked = null;

function askWhy(kind) {
  asked = kind;
  const list = whyDialog.querySelector("[data-reasons]");
  whyDialog.querySelector("h2").textContent = kind === "hold" ? "Hold it: why?" : "Reject it: why?";
  whyDialog.querySelector("[data-ok]").firstChild.textContent = kind === "hold" ? "Hold " : "Reject ";
  list.replaceChildren(...reasons[kind].map((text) => {
    const row = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = text;
    button.addEventListener("click", () => endWhy(text));
    row.append(button);
    return row;
  }));
  document.getElementById("why-words").value = "";
  whyDialog.showModal();
  whyDialog.querySelector("[data-ok]").focus();
}

function endWhy(text) {
  const words = document.getElementById("why-words").value.trim();
  whyDialog.close("");
  session.decide(asked, [text, words].filter(Boolean).join(": "));
}

whyDialog.querySelector("form").addEventListener("submit", (event) => {
  if (event.submitter && event.submitter.value !== "ok") return;
  event.preventDefault();
  endWhy("");
});
whyDialog.addEventListener("keydown", (event) => {
  if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
  const text = reasons[asked]?.[Number(event.key) - 1];
  if (text) { event.preventDefault(); endWhy(text); }
});

// --- keys -----------------------------------------------------------------------------------------

const help = document.getElementById("help");
const keys = help.querySelector("[data-keys]");
try { keys.checked = localStorage.getItem("keys") !== "off"; } catch { /* on */ }
keys.addEventListener("change", () => {
  try { localStorage.setItem("keys", keys.checked ? "on" : "off"); } catch { /* not kept */ }
});

const session = new Session(place.querySelector("[data-pane]"));

const letters = {
  j: () => session.next(), n: () => session.next(), k: () => session.previous(), p: () => session.previous(),
  a: () => session.decide("approve"),
  r: () => session.current && askWhy("reject"),
  h: () => session.current && askWhy("hold"),
  e: () => document.querySelector("[data-correct-link], [data-shown] .frame .button")?.click(),
  u: () => session.undo(),
  s: () => session.viewer?.nextMode(), z: () => session.viewer?.pixels(),
  o: () => session.viewer?.peek(true),
  c: () => session.viewer?.toggleDoubt(),
  i: () => { if (session.current) location.href = `/items/${session.current.id}`; },
  "+": () => session.viewer?.zoom(1.5), "=": () => session.viewer?.zoom(1.5), "-": () => session.viewer?.zoom(1 / 1.5),
  "?": () => help.showModal(),
};
const moves = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const isRange = event.target instanceof HTMLInputElement && event.target.type === "range";
  if (moves[event.key] && !isRange) {
    if (event.shiftKey) { session.viewer?.move(...moves[event.key]); event.preventDefault(); return; }
    if (event.key === "ArrowRight") { event.preventDefault(); session.next(); }
    if (event.key === "ArrowLeft") { event.preventDefault(); session.previous(); }
    return;
  }
  if (!keys.checked && event.key !== "?") return;
  const run = letters[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!run || (event.repeat && "arhu".includes(event.key))) return;
  event.preventDefault();
  run();
});
document.addEventListener("keyup", (event) => {
  if (event.key.toLowerCase() === "o") session.viewer?.peek(false);
});

for (const link of document.querySelectorAll("[data-step]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (link.dataset.step === "next") session.next(); else session.previous();
  });
}
const helpButton = document.querySelector("[data-help]");
if (helpButton) {
  helpButton.hidden = false;
  helpButton.addEventListener("click", () => help.showModal());
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) session.pauseClock(); else session.resumeClock();
});
listen((told) => session.heard(told), () => session.missed());
