// A film: before and after by one key, from shot to shot, and a word on each.

import { ask, isTyping, toast } from "./desk.js";

const steps = { ",": -1, ".": 1 };
const others = { "[": -1, "]": 1 };
const verdicts = { y: "approved", g: "rejected" };

/** The player of a page, its shots, and which of them is shown. */
class Film {
  constructor(root) {
    this.root = root;
    this.video = root.querySelector("video");
    this.before = root.querySelector("[data-before]");
    this.shots = [...document.querySelectorAll("[data-shot]")];
    this.video?.addEventListener("timeupdate", () => this.#mark());
    for (const shot of this.shots) {
      shot.querySelector("a")?.addEventListener("click", (event) => {
        if (!this.video) return;
        event.preventDefault();
        this.#seek(shot);
      });
      for (const button of shot.querySelectorAll("[name=verdict]")) {
        button.addEventListener("click", (event) => {
          event.preventDefault();
          this.#judge(shot, button.value);
        });
      }
    }
  }

  get current() {
    const at = this.video?.currentTime ?? 0;
    return this.shots.findLast((shot) => Number(shot.dataset.begin) <= at + 0.001) || this.shots[0];
  }

  #mark() {
    const shown = this.current;
    for (const shot of this.shots) shot.toggleAttribute("data-shown", shot === shown);
    const frame = shown?.querySelector("[data-frame-at]");
    const at = Math.floor(this.video.currentTime / this.#length() + 0.01);
    if (frame && frame !== document.activeElement) {
      frame.value = Math.min(Number(frame.max), Math.max(Number(frame.min), at));
    }
  }

  #seek(shot) {
    this.video.currentTime = Number(shot.dataset.begin) + 0.001;
    shot.scrollIntoView({ block: "nearest" });
  }

  #length() {
    return Number(this.root.dataset.frame) || 1 / 24;
  }

  async #judge(shot, verdict) {
    const { item, seen } = this.root.dataset;
    try {
      const told = await ask(`/api/items/${item}/shots/${shot.dataset.shot}`, { method: "POST", body: { verdict, seen } });
      shot.dataset.verdict = verdict;
      shot.querySelector("[data-said]").textContent = verdict ? ` · ${verdict}` : "";
      toast(told.to_be_made_anew.length
        ? `Noted. Load the page again to have shots ${told.to_be_made_anew.join(", ")} made anew.`
        : "Noted.");
    } catch (error) {
      toast(error.message, { kind: "bad" });
    }
  }

  /** Whether the key was one of these. */
  press(event) {
    const key = event.key.toLowerCase();
    if (!this.video) return false;
    if (key === "o") this.before.checked = event.type === "keydown";
    else if (event.type !== "keydown") return false;
    else if (key === " ") { if (this.video.paused) this.video.play(); else this.video.pause(); }
    else if (key in steps) { this.video.pause(); this.video.currentTime += steps[key] * this.#length(); }
    else if (key in others) {
      const to = this.shots[this.shots.indexOf(this.current) + others[key]];
      if (to) this.#seek(to);
    } else if (key in verdicts && this.current?.querySelector("[name=verdict]")) this.#judge(this.current, verdicts[key]);
    else return false;
    return true;
  }
}

function areKeysOn() {
  try { return localStorage.getItem("keys") !== "off"; } catch { return true; }
}

let film = null;

/** Wire the film of the page, if there is one. */
export function wireFilm() {
  const root = document.querySelector("[data-film]");
  film = root ? new Film(root) : null;
}

for (const type of ["keydown", "keyup"]) {
  document.addEventListener(type, (event) => {
    if (!film || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || !areKeysOn()) return;
    if (event.key === " " && event.target.closest?.("video, button, a, summary, input, label")) return;
    if (film.press(event)) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, { capture: true });
}

wireFilm();
