// Correcting: colours at places of a scan, masks, strength, alternatives; kept by a click.
//
// All that is said is one object, as the server keeps it; every change is a new one, so undo is a list.

import { ask, isTyping, toast } from "./desk.js";

const page = document.querySelector("[data-correct]");
const find = (name) => page.querySelector(`[data-${name}]`);
const { correct: item, frame } = page.dataset; // a frame: of a film
const thing = frame ? "shot" : "scan";
const api = (what) => `/api/items/${item}/${what}${frame ? `?frame=${frame}` : ""}`;
const picture = find("picture"), board = find("canvas"), marks = find("marks");
const NEAR_PX = 14, STEP = 0.01;
const EMPTY = { hints: [], strength: 1, masks: [] };

let seen = Number(page.dataset.seen);
let said = { ...EMPTY, ...(JSON.parse(page.querySelector("[data-begin]").textContent) ?? {}) };
let kept = JSON.stringify(said);
const undone = [], done = [];
let tool = "hint";
let chosen = null; // a hint's number, or "new" for a place that has no colour yet
let waiting = null; // that place: { points, wide }
let stroke = null; // what is being drawn: { kind, points, moves }
let cursor = { x: 0.5, y: 0.5, shown: false };
let likely = null; // of the chosen place; null: not known yet
let wished = 0; // which of them the person has asked for before it was known

const hex = (rgb) => "#" + rgb.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");
const rgbOf = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
const clamp = (value) => Math.min(1, Math.max(0, value));
const percent = ([x, y]) => `${Math.round(x * 100)} % across, ${Math.round(y * 100)} % down`;

// --- saying ------------------------------------------------------------------------------------------

function say(next, { quietly = false } = {}) {
  if (!quietly) {
    done.push(said);
    undone.length = 0;
  }
  said = next;
  show();
  colour();
}

function undo(from, to) {
  if (waiting) { waiting = null; chosen = null; show(); return; }
  if (!from.length) return;
  to.push(said);
  said = from.pop();
  chosen = null;
  show();
  colour();
}

const replaced = (list, at, one) => list.map((old, n) => (n === at ? one : old));
const without = (list, at) => list.filter((_, n) => n !== at);

/** Give the chosen place a colour. */
function give(rgb) {
  find("free").value = hex(rgb);
  if (waiting) {
    const made = { points: waiting.points, rgb, ...(waiting.wide && { wide: true }) };
    waiting = null;
    chosen = said.hints.length;
    say({ ...said, hints: [...said.hints, made] });
  } else if (typeof chosen === "number") {
    say({ ...said, hints: replaced(said.hints, chosen, { ...said.hints[chosen], rgb }) });
  } else {
    toast("Choose a place first: click on the thing.");
  }
}

function choosePlace(points) {
  waiting = { points };
  chosen = "new";
  show();
  lookAt(points[Math.floor(points.length / 2)]);
}

function choose(number) {
  waiting = null;
  chosen = number;
  show();
  if (page.dataset.answered === JSON.stringify(said)) showThere();
  const { points } = said.hints[number];
  lookAt(points[Math.floor(points.length / 2)]);
}

function remove(list, at) {
  if (list === "hints") { chosen = null; waiting = null; }
  say({ ...said, [list]: without(said[list], at) });
}

// --- the server's answers ----------------------------------------------------------------------------

let asking = null, shownUrl = null;
async function colour() {
  asking?.abort();
  const mine = asking = new AbortController();
  board.setAttribute("aria-busy", "true");
  try {
    const blob = await ask(api("colours"), { method: "POST", body: { said }, as: "blob", signal: mine.signal });
    const url = URL.createObjectURL(blob);
    const before = shownUrl;
    picture.src = shownUrl = url;
    await picture.decode().catch(() => {});
    if (before) URL.revokeObjectURL(before);
    if (asking !== mine) return; // a later answer is on its way
    page.dataset.answered = JSON.stringify(said);
    showThere();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, { kind: "bad" });
  } finally {
    if (asking === mine) board.removeAttribute("aria-busy");
  }
}

/** What the chosen colour has become at its place: the scan is as light there as it is. */
function showThere() {
  const hint = typeof chosen === "number" ? said.hints[chosen] : null;
  find("there").hidden = !hint;
  if (!hint) return;
  const rgb = colourIn(picture, ...hint.points[Math.floor(hint.points.length / 2)]);
  find("there").style.background = hex(rgb);
  find("there").title = `${hex(rgb)}: as light as the scan is there`;
  find("now-said").textContent = `hint ${chosen + 1}, there:`;
}

/** Give the chosen place one of its likely colours, by number: at once, or when they are known. */
function giveLikely(number) {
  wished = likely ? 0 : number;
  if (likely && number <= likely.length) give(likely[number - 1].rgb);
}

let looking = null;
async function lookAt([x, y]) {
  looking?.abort();
  likely = null;
  wished = 0;
  find("likely").replaceChildren(soft("looking …"));
  const mine = looking = new AbortController();
  try {
    const place = await ask(api("likely"), { method: "POST", body: { said, x, y }, signal: mine.signal });
    likely = place.likely;
    if (wished && chosen !== null) giveLikely(wished);
    find("free").value = hex(typeof chosen === "number" ? said.hints[chosen].rgb : place.here);
    showLikely();
    find("place-said").textContent = `${percent([x, y])}: ${likely.length} likely colours`;
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, { kind: "bad" });
  }
}

async function lookForOthers() {
  const others = find("others");
  find("look").disabled = true;
  find("busy").textContent = "looking …";
  try {
    const found = await ask(api("alternatives"), { method: "POST", body: { said } });
    others.replaceChildren(...found.map((one, n) => {
      const button = document.createElement("button");
      button.type = "button";
      const image = document.createElement("img");
      const bytes = Uint8Array.from(atob(one.jpeg), (c) => c.charCodeAt(0));
      image.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      image.alt = `Alternative ${n + 1}: takes its colours`;
      button.append(image);
      button.addEventListener("click", () => { chosen = null; waiting = null; say(one.said); });
      return button;
    }));
    if (!found.length) others.textContent = "The network sees no other way.";
  } catch (error) {
    toast(error.message, { kind: "bad" });
  } finally {
    find("look").disabled = false;
    find("busy").textContent = "";
  }
}

async function save(over = seen) {
  const button = find("save");
  if (button.disabled) return;
  button.disabled = true;
  try {
    const made = await ask(api("correction"), { method: "POST", body: { said, note: find("note").value, seen: over } });
    seen = made.id;
    kept = JSON.stringify(said);
    find("withdraw").disabled = false;
    toast("Saved.");
    follow();
  } catch (error) {
    if (error.status === 409) {
      toast(error.message, { kind: "bad", seconds: 20, action: { text: "Save over it", run: () => { show(); save(error.told.id); } } });
    } else {
      toast(error.message, { kind: "bad" });
    }
  }
  show();
}

async function withdraw() {
  try {
    await ask(`${api("correction/withdraw")}${frame ? "&" : "?"}seen=${seen}`, { method: "POST" });
    toast("Withdrawn: what was said before counts again.");
    location.reload();
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
}

async function teach() {
  find("teach").disabled = true;
  find("state").textContent = "Checking it as a reference …";
  try {
    const made = await ask(api("teach"), { method: "POST" });
    toast(`Reference ${made.reference}: the next training learns from it, none is judged by it.`);
    find("state").textContent = `It is reference ${made.reference} as it is.`;
  } catch (error) {
    find("state").textContent = "";
    toast(error.message, { kind: "bad" });
    find("teach").disabled = false;
  }
}

/** Wait until the workers have coloured it. */
async function follow() {
  find("state").textContent = `The ${thing} is being coloured by what was said.`;
  if (find("teach")) find("teach").disabled = true;
  for (let n = 0; n < 900; n++) {
    await new Promise((resolve) => setTimeout(resolve, n < 20 ? 1000 : 4000));
    let told;
    try { told = await ask(api("correction")); } catch { continue; }
    if (told.id !== seen) { find("state").textContent = "Somebody has corrected it since: load the page again."; return; }
    if (told.is_coloured) {
      find("state").textContent = `The ${thing} is coloured by what was said` + (told.status === "review" ? ", and waits to be looked at." : ".");
      if (find("teach")) find("teach").disabled = !seen || Boolean(told.taught);
      return;
    }
  }
}

// --- showing -----------------------------------------------------------------------------------------

function swatch(rgb, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "swatch";
  button.style.background = hex(rgb);
  button.setAttribute("aria-label", label);
  button.title = label;
  return button;
}

function soft(text) {
  const said = document.createElement("span");
  said.className = "soft";
  said.textContent = text;
  return said;
}

function showLikely() {
  const place = find("likely");
  place.replaceChildren(...likely.map((one, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "likely";
    const patch = document.createElement("span");
    patch.className = "swatch";
    patch.style.background = hex(one.rgb);
    button.append(patch, `${n + 1} · ${Math.max(1, Math.round(one.probability * 100))} %`);
    button.setAttribute("aria-label", `${hex(one.rgb)}, ${Math.round(one.probability * 100)} per cent likely`);
    button.addEventListener("click", () => give(one.rgb));
    return button;
  }));
}

function entry(text, number, list, one) {
  const item = document.createElement("li");
  item.classList.toggle("chosen", list === "hints" && chosen === number);
  if (list === "hints") item.append(swatch(one.rgb, `Colour ${hex(one.rgb)}`));
  const name = document.createElement(list === "hints" ? "button" : "span");
  name.className = "name-of";
  name.textContent = text;
  item.append(name);
  if (list === "hints") {
    name.type = "button";
    name.addEventListener("click", () => choose(number));
    item.firstChild.addEventListener("click", () => choose(number));
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = Boolean(one.wide);
    box.addEventListener("change", () => {
      const { wide, ...rest } = one;
      say({ ...said, hints: replaced(said.hints, number, box.checked ? { ...rest, wide: true } : rest) });
    });
    label.append(box, "everywhere");
    label.title = "The network may follow it over the whole picture";
    item.append(label);
  }
  const gone = document.createElement("button");
  gone.type = "button";
  gone.className = "quiet gone";
  gone.textContent = "Remove";
  gone.setAttribute("aria-label", `Remove ${text}`);
  gone.addEventListener("click", () => remove(list, number));
  item.append(gone);
  return item;
}

function show() {
  const { hints, masks } = said;
  find("said").replaceChildren(
    ...hints.map((one, n) => entry(`${n + 1}${one.points.length > 1 ? ", a line" : ""}`, n, "hints", one)),
    ...masks.map((one, n) => entry(one.kind === "grey" ? "stays grey" : "keeps its own colour", n, "masks", one)),
  );
  find("nothing").hidden = hints.length + masks.length > 0;
  find("strength").value = said.strength;
  find("strength-said").textContent = said.strength.toFixed(2);
  find("undo").disabled = !done.length && !waiting;
  find("redo").disabled = !undone.length;
  const isEmpty = !hints.length && !masks.length && said.strength === 1;
  find("save").disabled = isEmpty || JSON.stringify(said) === kept;
  const now = typeof chosen === "number" ? said.hints[chosen]?.rgb : null;
  find("now").style.background = now ? hex(now) : "transparent";
  find("there").hidden = true; // until the picture has come
  find("now-said").textContent = now ? `hint ${chosen + 1}` : waiting ? "choose a colour for this place" : "";
  draw();
}

function draw() {
  const box = picture.getBoundingClientRect();
  if (!box.width) return;
  const ratio = devicePixelRatio || 1;
  marks.style.width = `${box.width}px`;
  marks.style.height = `${box.height}px`;
  marks.width = box.width * ratio;
  marks.height = box.height * ratio;
  const pen = marks.getContext("2d");
  pen.scale(ratio, ratio);
  const at = ([x, y]) => [x * box.width, y * box.height];
  const line = (points, width, style) => {
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = width;
    pen.strokeStyle = style;
    pen.beginPath();
    points.map(at).forEach(([x, y], n) => (n ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (points.length === 1) pen.lineTo(...at(points[0]).map((v) => v + 0.01));
    pen.stroke();
  };
  const side = Math.min(box.width, box.height);
  const painted = (one) => {
    pen.globalAlpha = 0.35;
    line(one.points, Math.max(2, 2 * one.radius * side), one.kind === "grey" ? "#fff" : "#ffd400");
    pen.globalAlpha = 1;
  };
  said.masks.forEach(painted);
  if (stroke?.kind === "mask") painted(stroke.mask);
  const hinted = (points, rgb, isChosen) => {
    line(points, 6, "#000a");
    line(points, 3, rgb ? hex(rgb) : "#fff");
    for (const point of [points[0], points.at(-1)]) {
      const [x, y] = at(point);
      pen.beginPath();
      pen.arc(x, y, isChosen ? 8 : 6, 0, 7);
      pen.fillStyle = rgb ? hex(rgb) : "#0000";
      pen.fill();
      pen.lineWidth = isChosen ? 3 : 2;
      pen.strokeStyle = "#fff";
      pen.stroke();
      pen.lineWidth = 1;
      pen.strokeStyle = "#000";
      pen.stroke();
    }
  };
  said.hints.forEach((one, n) => hinted(stroke?.moves === n ? stroke.points : one.points, one.rgb, chosen === n));
  if (waiting) hinted(waiting.points, null, true);
  if (stroke?.kind === "hint" && stroke.moves === undefined) hinted(stroke.points, null, true);
  if (cursor.shown) {
    const [x, y] = at([cursor.x, cursor.y]);
    for (const [width, style] of [[3, "#000"], [1, "#fff"]]) {
      pen.lineWidth = width;
      pen.strokeStyle = style;
      pen.beginPath();
      pen.moveTo(x - 10, y); pen.lineTo(x + 10, y);
      pen.moveTo(x, y - 10); pen.lineTo(x, y + 10);
      pen.stroke();
    }
  }
}

// --- pointer -----------------------------------------------------------------------------------------

const pointOf = (event) => {
  const box = picture.getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
};

function hintNear([x, y]) {
  const box = picture.getBoundingClientRect();
  const near = (point) => Math.hypot((point[0] - x) * box.width, (point[1] - y) * box.height) < NEAR_PX;
  for (let n = said.hints.length - 1; n >= 0; n--) if (said.hints[n].points.some(near)) return n;
  return -1;
}

/** The colour of an image at a place of it. */
function colourIn(image, x, y) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d");
  const left = Math.min(image.naturalWidth - 1, Math.floor(x * image.naturalWidth));
  const top = Math.min(image.naturalHeight - 1, Math.floor(y * image.naturalHeight));
  pen.drawImage(image, left, top, 1, 1, 0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

function setTool(name) {
  tool = name;
  for (const button of page.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
}

function putDown(point) {
  if (tool === "pick") {
    give(colourIn(picture, ...point));
    setTool("hint");
  } else if (tool === "hint") {
    choosePlace([point]);
  } else {
    say({ ...said, masks: [...said.masks, { kind: tool, points: [point], radius: radius() }] });
  }
}

const radius = () => (Number(find("radius").value) / 100) ** 2 * 0.3 + 0.004;

const fingers = new Map(); // two of them move the picture and draw nothing

board.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  fingers.set(event.pointerId, event);
  if (fingers.size > 1) { stroke = null; draw(); return; }
  const point = pointOf(event);
  cursor = { x: point[0], y: point[1], shown: false };
  board.setPointerCapture(event.pointerId);
  if (tool === "pick") { putDown(point); return; }
  const near = tool === "hint" ? hintNear(point) : -1;
  if (near >= 0) {
    stroke = { kind: "hint", moves: near, from: point, points: said.hints[near].points };
    choose(near);
  } else if (tool === "hint") {
    stroke = { kind: "hint", points: [point] };
  } else {
    stroke = { kind: "mask", mask: { kind: tool, points: [point], radius: radius() } };
  }
  draw();
});

board.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (before) fingers.set(event.pointerId, event);
  if (before && fingers.size === 2) {
    const [, other] = [...fingers].find(([id]) => id !== event.pointerId);
    const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    zoom(far(event) / far(before), event);
  }
  if ((before && fingers.size === 2) || event.buttons & 4) {
    board.scrollBy(before ? before.clientX - event.clientX : -event.movementX, before ? before.clientY - event.clientY : -event.movementY);
    return;
  }
  if (!stroke) return;
  const point = pointOf(event);
  if (stroke.moves !== undefined) {
    const [dx, dy] = [point[0] - stroke.from[0], point[1] - stroke.from[1]];
    stroke.points = said.hints[stroke.moves].points.map(([x, y]) => [clamp(x + dx), clamp(y + dy)]);
  } else {
    const points = stroke.mask?.points ?? stroke.points;
    const last = points.at(-1);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) > 0.008 && points.length < 1500) points.push(point);
  }
  draw();
});

board.addEventListener("pointerup", (event) => {
  fingers.delete(event.pointerId);
  const ended = stroke;
  stroke = null;
  if (!ended) return;
  if (ended.kind === "mask") {
    say({ ...said, masks: [...said.masks, ended.mask] });
  } else if (ended.moves === undefined) {
    choosePlace(ended.points);
  } else if (ended.points !== said.hints[ended.moves].points) {
    const moved = { ...said.hints[ended.moves], points: ended.points };
    say({ ...said, hints: replaced(said.hints, ended.moves, moved) });
    lookAt(moved.points[0]);
  }
  draw();
});
board.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); stroke = null; draw(); });

// --- nearer and farther ------------------------------------------------------------------------------

let nearer = 1;

/** Show the picture larger by a factor; what is at a point of the window stays there. */
function zoom(by, { clientX, clientY } = middle()) {
  const [x, y] = pointOf({ clientX, clientY });
  nearer = Math.min(8, Math.max(1, nearer * by));
  board.style.setProperty("--nearer", nearer);
  const box = picture.getBoundingClientRect();
  board.scrollLeft += box.left + x * box.width - clientX;
  board.scrollTop += box.top + y * box.height - clientY;
}

function middle() {
  const box = board.getBoundingClientRect();
  return { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
}

board.addEventListener("wheel", (event) => {
  if (event.shiftKey) return; // moves across
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event);
}, { passive: false });
find("nearer").addEventListener("click", () => zoom(1.5));
find("farther").addEventListener("click", () => zoom(1 / 1.5));

// --- keyboard ----------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

board.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (arrow) {
    event.preventDefault();
    const step = event.shiftKey ? 5 * STEP : STEP;
    if (event.altKey && typeof chosen === "number") {
      const points = said.hints[chosen].points.map(([x, y]) => [clamp(x + arrow[0] * step), clamp(y + arrow[1] * step)]);
      say({ ...said, hints: replaced(said.hints, chosen, { ...said.hints[chosen], points }) });
    } else {
      cursor = { x: clamp(cursor.x + arrow[0] * step), y: clamp(cursor.y + arrow[1] * step), shown: true };
      find("place-said").textContent = percent([cursor.x, cursor.y]);
      draw();
      const box = picture.getBoundingClientRect(), room = board.getBoundingClientRect();
      const [x, y] = [box.left + cursor.x * box.width, box.top + cursor.y * box.height];
      const outside = (at, from, to) => Math.min(0, at - from - 20) + Math.max(0, at - to + 20);
      board.scrollBy(outside(x, room.left, room.right), outside(y, room.top, room.bottom));
    }
  } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    cursor.shown = true;
    putDown([cursor.x, cursor.y]);
  }
});

const showBefore = (is) => {
  if (!shownUrl) return;
  find("before").setAttribute("aria-pressed", String(is));
  picture.src = is ? page.dataset.before : shownUrl;
};

const KEYS = {
  b: () => setTool("hint"), g: () => setTool("grey"), k: () => { if (!frame) setTool("keep"); }, p: () => setTool("pick"),
  u: () => undo(done, undone), v: lookForOthers,
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), z: () => zoom(nearer > 1 ? 1 / 8 : 3),
  Escape: () => { waiting = null; chosen = null; setTool("hint"); show(); },
  Delete: () => { if (typeof chosen === "number") remove("hints", chosen); },
};
KEYS.Backspace = KEYS.Delete;

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "o" && !event.repeat) { showBefore(true); return; }
  const number = Number(event.key);
  if (number >= 1 && chosen !== null) { giveLikely(number); return; }
  KEYS[event.key]?.();
});
document.addEventListener("keyup", (event) => { if (event.key === "o") showBefore(false); });

// --- the rest ----------------------------------------------------------------------------------------

for (const button of page.querySelectorAll("[data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
for (const button of page.querySelectorAll("[data-colour]")) {
  button.style.background = button.dataset.colour;
  button.addEventListener("click", () => give(rgbOf(button.dataset.colour)));
}
for (const image of page.querySelectorAll("[data-reference]")) {
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    give(colourIn(image, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height));
  });
  image.addEventListener("keydown", (event) => { if (event.key === "Enter") give(colourIn(image, 0.5, 0.5)); });
}
find("free").addEventListener("change", (event) => give(rgbOf(event.target.value)));
find("strength").addEventListener("input", (event) => { find("strength-said").textContent = Number(event.target.value).toFixed(2); });
find("strength").addEventListener("change", (event) => say({ ...said, strength: Number(event.target.value) }));
find("undo").addEventListener("click", () => undo(done, undone));
find("redo").addEventListener("click", () => undo(undone, done));
find("before").addEventListener("click", (event) => showBefore(event.currentTarget.getAttribute("aria-pressed") !== "true"));
find("look").addEventListener("click", lookForOthers);
find("save").addEventListener("click", () => save());
find("teach")?.addEventListener("click", teach);
find("withdraw").addEventListener("click", withdraw);
const fit = () => { board.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight || 1); draw(); };
picture.addEventListener("load", fit);
if (picture.complete) fit();
new ResizeObserver(draw).observe(picture);
try { // back to the queue that one came from, if it is still at this item
  const queue = sessionStorage.getItem("queue") ?? "";
  if (queue.endsWith(`item=${item}`)) find("back").href = queue;
} catch { /* not kept */ }
addEventListener("beforeunload", (event) => { if (JSON.stringify(said) !== kept) event.preventDefault(); });

show();
colour();
if ("waits" in find("state").dataset) follow();
