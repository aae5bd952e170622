// The wall: tick by click, range and key; more pictures come as one scrolls.

import { ask, isTyping, listen, toast } from "./desk.js";

const form = document.querySelector("[data-wall]");
const tiles = document.querySelector("[data-tiles]");
const all = document.querySelector("[data-all]");
const said = document.querySelector("[data-chosen]");
const help = document.getElementById("help");
let anchor = null;

const boxes = () => [...tiles.querySelectorAll("input[name=item]:not(:disabled)")];
const tileOf = (box) => box.closest("[data-item]");

function say() {
  const n = boxes().filter((box) => box.checked).length;
  if (said) said.textContent = all?.checked ? "All of this filter" : n ? `${n} ticked` : "Tick pictures";
}

/** Only one picture is reached by Tab; arrows go on from it. */
function rove(box) {
  for (const other of tiles.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  for (const part of [box, tileOf(box).querySelector("a")]) part.tabIndex = 0;
}

function wire(tile) {
  for (const part of tile.querySelectorAll("input, a")) part.tabIndex = -1;
  tile.querySelector("img").addEventListener("error", () => tile.classList.add("missing"));
}

function go(box, { ranging = false } = {}) {
  if (!box) return;
  rove(box);
  box.focus();
  tileOf(box).scrollIntoView({ block: "nearest" });
  if (ranging) range(box); else anchor = box;
}

function range(box) {
  const list = boxes();
  const [from, to] = [list.indexOf(anchor ?? box), list.indexOf(box)].sort((a, b) => a - b);
  list.slice(Math.max(from, 0), to + 1).forEach((one) => { one.checked = true; });
  say();
}

/** The picture above or below: the nearest of the next row. */
function vertically(box, step) {
  const list = boxes();
  const here = tileOf(box).getBoundingClientRect();
  const rows = list.slice().sort((a, b) => step * (list.indexOf(a) - list.indexOf(b)));
  const found = rows.slice(rows.indexOf(box) + 1).find((one) => {
    const there = tileOf(one).getBoundingClientRect();
    return step * (there.top - here.top) > here.height / 2 && Math.abs(there.left - here.left) < here.width / 2;
  });
  return found ?? (step > 0 ? list.at(-1) : list[0]);
}

function onKey(event) {
  if (isTyping(event.target) || help.open || event.altKey) return;
  const list = boxes();
  const box = event.target.matches?.("input[name=item]") ? event.target : null;
  const at = list.indexOf(box);
  const ranging = event.shiftKey;
  const key = event.key;
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "a") {
    list.forEach((one) => { one.checked = true; });
    say();
  } else if (event.ctrlKey || event.metaKey) {
    return;
  } else if (key.startsWith("Arrow")) {
    if (!box) go(list[0]);
    else if (key === "ArrowRight") go(list[at + 1], { ranging });
    else if (key === "ArrowLeft") go(list[at - 1], { ranging });
    else go(vertically(box, key === "ArrowDown" ? 1 : -1), { ranging });
  } else if (box && key === "Home") go(list[0], { ranging });
  else if (box && key === "End") go(list.at(-1), { ranging });
  else if (key === "Escape") { list.forEach((one) => { one.checked = false; }); if (all) all.checked = false; say(); }
  else if (box && key === "Enter") tileOf(box).querySelector("a").click();
  else if (key === "?") help.showModal();
  else {
    const button = [...document.querySelectorAll("[data-kind]")].find((one) => one.dataset.kind[0] === key.toLowerCase() && one.querySelector("kbd"));
    if (!button) return;
    form.requestSubmit(button);
  }
  event.preventDefault();
}

async function more(place) {
  const link = place.querySelector("a");
  link.textContent = "…";
  try {
    const holder = document.createElement("template");
    holder.innerHTML = await ask(link.href.replace("/wall?", "/wall/more?"), { as: "text" });
    const found = [...holder.content.children];
    place.replaceWith(...found);
    found.forEach((one) => (one.dataset.item ? wire(one) : watch(one)));
  } catch (error) {
    link.textContent = "More";
    toast(error.message, { kind: "bad" });
  }
}

const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
  if (entry.isIntersecting) { seen.unobserve(entry.target); more(entry.target); }
}), { rootMargin: "800px" });
const watch = (place) => seen.observe(place);

/** What others decide is no longer to be ticked. */
function onDecided(told) {
  for (const [id, became] of Object.entries(told.items)) {
    const tile = tiles.querySelector(`[data-item="${Number(id)}"]`);
    if (!tile || tile.classList.contains("gone")) continue;
    tile.classList.add("gone");
    tile.dataset.became = `${became}, ${told.who}`;
    const box = tile.querySelector("input");
    box.checked = false;
    box.disabled = true;
  }
  say();
}

if (form) {
  tiles.querySelectorAll("[data-item]").forEach(wire);
  tiles.querySelectorAll("[data-more]").forEach(watch);
  if (boxes().length) rove(boxes()[0]);
  tiles.addEventListener("click", (event) => {
    const box = event.target.matches("input[name=item]") ? event.target : null;
    if (!box) return;
    rove(box);
    if (event.shiftKey && anchor) range(box); else anchor = box;
  });
  form.addEventListener("change", say);
  // Thousands of boxes are sent as one field.
  form.addEventListener("formdata", (event) => {
    const numbers = event.formData.getAll("item");
    event.formData.delete("item");
    if (numbers.length && !all?.checked) event.formData.set("item", numbers.join(","));
  });
  form.addEventListener("submit", (event) => {
    if (all?.checked || boxes().some((box) => box.checked)) return;
    event.preventDefault();
    toast("Tick pictures first, or all of this filter.");
  });
  document.addEventListener("keydown", onKey);
  document.querySelector("[data-help]")?.addEventListener("click", () => help.showModal());
  document.querySelectorAll("[data-help]").forEach((button) => { button.hidden = false; });
  addEventListener("pageshow", say);
  listen(onDecided, () => location.reload());
}
