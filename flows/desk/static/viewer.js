// Two pictures seen as one: moved and zoomed together, down to single pixels.
//
// A picture is an image service (IIIF 3, level 1). What fits the screen is asked for whole; nearer,
// the tiles that are seen are asked for, and drawn over it as they come.

const TILE = 512;
const WHOLE = 1600;
const MOST_TILES = 240;
const MODES = ["beside", "slider", "colour", "scan"];
const NAMES = { beside: "Beside each other", slider: "Slider", colour: "Derivative", scan: "Scan" };

function load(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.decoding = "async";
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the picture is not to be had"));
    image.src = url;
  });
}

/** One picture: its size, the whole of it, and tiles. */
export class Picture {
  constructor(base) {
    this.base = base;
    this.width = this.height = 0;
    this.tiles = new Map();
    this.onChange = () => {};
    this.ready = this.#begin();
    this.ready.catch(() => {});
  }

  async #begin() {
    const [info, whole] = await Promise.all([
      fetch(`${this.base}/info.json`, { credentials: "same-origin" }).then((answer) => {
        if (!answer.ok) throw new Error("the picture is not to be had");
        return answer.json();
      }),
      load(`${this.base}/full/!${WHOLE},${WHOLE}/0/default.jpg`),
    ]);
    this.width = info.width;
    this.height = info.height;
    this.whole = whole;
    return this;
  }

  /** Draw what is seen. *view* is in shares of the picture, so that both agree whatever their sizes. */
  draw(context, box, view, ratio) {
    if (!this.whole) return;
    const scale = (view.scale * view.width) / this.width; // screen pixels for one of ours
    const left = box.x + box.width / 2 - view.x * this.width * scale;
    const top = box.y + box.height / 2 - view.y * this.height * scale;
    context.save();
    context.beginPath();
    context.rect(box.x, box.y, box.width, box.height);
    context.clip();
    context.imageSmoothingEnabled = scale * ratio < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.whole, left, top, this.width * scale, this.height * scale);
    if (this.whole.naturalWidth < this.width && this.width * scale * ratio > this.whole.naturalWidth) {
      this.#drawTiles(context, box, left, top, scale, ratio);
    }
    context.restore();
  }

  #drawTiles(context, box, left, top, scale, ratio) {
    const factor = 2 ** Math.max(0, Math.floor(Math.log2(1 / (scale * ratio))));
    const side = TILE * factor;
    const first = (start, at) => Math.max(0, Math.floor((start - at) / scale / side));
    const last = (end, at, size) => Math.min(Math.ceil(size / side) - 1, Math.floor((end - at) / scale / side));
    for (let row = first(box.y, top); row <= last(box.y + box.height, top, this.height); row++) {
      for (let column = first(box.x, left); column <= last(box.x + box.width, left, this.width); column++) {
        const x = column * side, y = row * side;
        const width = Math.min(side, this.width - x), height = Math.min(side, this.height - y);
        const tile = this.#tile(factor, x, y, width, height);
        if (tile) {
          context.drawImage(tile, left + x * scale, top + y * scale, width * scale + 0.5, height * scale + 0.5);
        }
      }
    }
  }

  #tile(factor, x, y, width, height) {
    const key = `${factor}/${x}/${y}`;
    const known = this.tiles.get(key);
    if (known) {
      this.tiles.delete(key); // the latest last
      this.tiles.set(key, known);
      return known.image;
    }
    const tile = { image: null };
    this.tiles.set(key, tile);
    load(`${this.base}/${x},${y},${width},${height}/${Math.ceil(width / factor)},/0/default.jpg`)
      .then((image) => { tile.image = image; this.onChange(); }, () => this.tiles.delete(key));
    while (this.tiles.size > MOST_TILES) this.tiles.delete(this.tiles.keys().next().value);
    return null;
  }
}

/** The stage of a pane: both pictures, a bar of tools, pointer and touch. */
export class Viewer {
  constructor(element, pictures, { doubt = "" } = {}) {
    this.element = element;
    this.pictures = pictures; // { scan, colour }, either may be missing
    this.doubtAddress = pictures.colour ? doubt : "";
    this.mode = this.#kept();
    this.split = 0.5;
    this.view = { x: 0.5, y: 0.5, scale: 1, width: 1, height: 1 };
    this.isWhole = true;
    this.isPeeking = false;
    this.pointers = new Map();
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    for (const image of element.querySelectorAll("img")) image.closest("figure").classList.add("said-only");
    element.append(this.canvas);
    element.classList.add("live");
    this.#tools();
    this.#listen();
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(element);
    element.setAttribute("aria-busy", "true");
    this.ready = this.#begin();
  }

  async #begin() {
    const given = Object.values(this.pictures);
    for (const picture of given) picture.onChange = () => this.redraw();
    const come = await Promise.allSettled(given.map((picture) => picture.ready));
    this.element.setAttribute("aria-busy", "false");
    const lead = this.pictures.scan?.width ? this.pictures.scan : this.pictures.colour;
    if (!lead?.width) {
      this.element.dataset.fault = "This picture cannot be shown now.";
      return;
    }
    this.view.width = lead.width;
    this.view.height = lead.height;
    if (come.some((one) => one.status === "rejected")) this.element.dataset.fault = "One of the pictures cannot be shown now.";
    this.resize();
  }

  get shown() {
    const has = { scan: this.pictures.scan?.whole, colour: this.pictures.colour?.whole };
    if (!has.scan || !has.colour) return has.scan ? "scan" : "colour";
    return this.mode;
  }

  #boxes() {
    const { width, height } = this.size;
    if (this.shown !== "beside") return [{ x: 0, y: 0, width, height }];
    const gap = 4;
    const fits = (across, down) => Math.min(across / this.view.width, down / this.view.height);
    if (fits((width - gap) / 2, height) >= fits(width, (height - gap) / 2)) {
      const half = (width - gap) / 2;
      return [{ x: 0, y: 0, width: half, height }, { x: half + gap, y: 0, width: half, height }];
    }
    const half = (height - gap) / 2;
    return [{ x: 0, y: 0, width, height: half }, { x: 0, y: half + gap, width, height: half }];
  }

  get fitting() {
    const [box] = this.#boxes();
    return Math.min(box.width / this.view.width, box.height / this.view.height);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.element;
    this.size = { width, height };
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (this.isWhole) this.whole(); else this.redraw();
  }

  whole() {
    this.isWhole = true;
    Object.assign(this.view, { x: 0.5, y: 0.5, scale: this.fitting });
    this.redraw();
  }

  pixels() {
    if (!this.isWhole) { this.whole(); return; }
    this.zoomTo(Math.max(1 / (window.devicePixelRatio || 1), this.fitting * 2));
  }

  zoomTo(scale, at) {
    const [box] = this.#boxes();
    const least = this.fitting, most = Math.max(16, least);
    const wanted = Math.min(most, Math.max(least, scale));
    if (at) { // what lies under the pointer stays there
      const dx = at.x - box.width / 2, dy = at.y - box.height / 2;
      this.view.x += (dx / this.view.scale - dx / wanted) / this.view.width;
      this.view.y += (dy / this.view.scale - dy / wanted) / this.view.height;
    }
    this.view.scale = wanted;
    this.isWhole = wanted <= least * 1.001;
    if (this.isWhole) { this.whole(); return; }
    this.#keepInside();
    this.redraw();
  }

  zoom(by, at) { this.zoomTo(this.view.scale * by, at); }

  move(dx, dy) {
    this.view.x -= dx / this.view.scale / this.view.width;
    this.view.y -= dy / this.view.scale / this.view.height;
    this.#keepInside();
    this.redraw();
  }

  #keepInside() {
    const [box] = this.#boxes();
    for (const [axis, size, room] of [["x", this.view.width, box.width], ["y", this.view.height, box.height]]) {
      const half = Math.min(0.5, room / (2 * size * this.view.scale));
      this.view[axis] = Math.min(1 - half, Math.max(half, this.view[axis]));
    }
  }

  setMode(mode) {
    this.mode = mode;
    try { localStorage.setItem("viewer-mode", mode); } catch { /* not kept */ }
    this.element.parentElement.querySelectorAll("[data-mode]").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode)));
    this.slider.hidden = mode !== "slider";
    if (this.isWhole) this.whole(); else { this.#keepInside(); this.redraw(); }
  }

  nextMode() { this.setMode(MODES[(MODES.indexOf(this.mode) + 1) % MODES.length]); }

  peek(isPeeking) {
    if (this.isPeeking === isPeeking) return;
    this.isPeeking = isPeeking;
    this.redraw();
  }

  #kept() {
    let kept = null;
    try { kept = localStorage.getItem("viewer-mode"); } catch { /* not kept */ }
    return MODES.includes(kept) ? kept : "beside";
  }

  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => { this.isDue = false; this.#draw(); });
  }

  #draw() {
    if (!this.size) return;
    const ratio = window.devicePixelRatio || 1;
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.size.width, this.size.height);
    const { scan, colour } = this.pictures;
    const boxes = this.#boxes();
    const shown = this.isPeeking && scan ? "peek" : this.shown;
    const after = shown === "peek" ? scan : colour;
    if (shown === "beside" || (shown === "peek" && this.shown === "beside")) {
      scan?.draw(context, boxes[0], this.view, ratio);
      after?.draw(context, boxes[1], this.view, ratio);
    } else if (shown === "slider") {
      const [box] = boxes;
      const at = Math.round(box.width * this.split);
      scan.draw(context, box, this.view, ratio);
      context.save();
      context.beginPath();
      context.rect(at, 0, box.width - at, box.height);
      context.clip();
      colour.draw(context, box, this.view, ratio);
      context.restore();
      context.fillStyle = "#fff";
      context.fillRect(at - 1, 0, 2, box.height);
      context.beginPath();
      context.arc(at, box.height / 2, 11, 0, 7);
      context.fill();
    } else {
      (shown === "scan" ? scan : after)?.draw(context, boxes[0], this.view, ratio);
    }
    if (this.doubt && this.shown !== "scan" && !this.isPeeking) this.#drawDoubt(context, boxes);
    this.told.textContent = `${Math.round(this.view.scale * ratio * 100)} %`;
  }

  #drawDoubt(context, boxes) {
    const box = boxes.at(-1), { x, y, scale, width, height } = this.view;
    context.save();
    context.beginPath();
    const from = this.shown === "slider" ? Math.round(box.width * this.split) + 1 : 0;
    context.rect(box.x + from, box.y, box.width - from, box.height);
    context.clip();
    context.drawImage(
      this.doubt, box.x + box.width / 2 - x * width * scale, box.y + box.height / 2 - y * height * scale,
      width * scale, height * scale,
    );
    context.restore();
  }

  /** Show where the network doubts, or no more; the server computes it when it is asked for. */
  async toggleDoubt() {
    if (!this.doubtAddress) return;
    this.isDoubtWanted = !this.isDoubtWanted;
    this.doubtButton.setAttribute("aria-pressed", String(this.isDoubtWanted));
    if (!this.isDoubtWanted) { this.doubt = null; this.redraw(); return; }
    this.element.setAttribute("aria-busy", "true");
    try {
      const image = await load(this.doubtAddress);
      if (this.isDoubtWanted) this.doubt = image;
    } catch {
      this.element.dataset.fault = "Where the network doubts cannot be shown now.";
      this.isDoubtWanted = false;
      this.doubtButton.setAttribute("aria-pressed", "false");
    }
    this.element.setAttribute("aria-busy", "false");
    this.redraw();
  }

  #tools() {
    const bar = document.createElement("div");
    bar.className = "tools";
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", "How the pictures are shown");
    const add = (text, title, run, more = {}, key = "") => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      if (key) button.dataset.key = key; // shown by the style alone: it is no part of the name
      button.title = title;
      button.setAttribute("aria-label", title);
      Object.entries(more).forEach(([name, value]) => button.setAttribute(name, value));
      button.addEventListener("click", run);
      bar.append(button);
      return button;
    };
    for (const mode of MODES) {
      const button = add(NAMES[mode], NAMES[mode], () => this.setMode(mode), { "data-mode": mode }, mode === "slider" ? "S" : "");
      button.setAttribute("aria-pressed", String(mode === this.mode));
    }
    if (this.doubtAddress) {
      this.doubtButton = add("Doubt", "Doubt: violet, where the network is not sure", () => this.toggleDoubt(), {}, "C");
      this.doubtButton.setAttribute("aria-pressed", "false");
    }
    this.slider = document.createElement("input");
    Object.assign(this.slider, { type: "range", min: 0, max: 100, value: 50, hidden: this.mode !== "slider" });
    this.slider.setAttribute("aria-label", "How much of the scan the slider shows");
    this.slider.addEventListener("input", () => { this.split = this.slider.value / 100; this.redraw(); });
    bar.append(this.slider);
    add("−", "Farther", () => this.zoom(1 / 1.5)).classList.add("first");
    this.told = document.createElement("output");
    this.told.setAttribute("aria-label", "Size");
    bar.append(this.told);
    add("+", "Nearer", () => this.zoom(1.5));
    add("1:1", "1:1, pixel by pixel, or whole again", () => this.pixels(), {}, "Z");
    this.bar = bar;
    this.element.after(bar);
  }

  #listen() {
    const surface = this.element;
    const local = (event) => {
      const frame = surface.getBoundingClientRect();
      const boxes = this.#boxes();
      const x = event.clientX - frame.left, y = event.clientY - frame.top;
      const box = boxes.find((one) => x >= one.x && x < one.x + one.width && y >= one.y && y < one.y + one.height) || boxes[0];
      return { x: x - box.x, y: y - box.y };
    };
    surface.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), local(event));
    }, { passive: false });
    surface.addEventListener("dblclick", (event) => {
      if (this.isWhole) this.zoomTo(Math.max(1 / (window.devicePixelRatio || 1), this.fitting * 2), local(event));
      else this.whole();
    });
    surface.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      surface.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const at = local(event);
      this.isSplitting = this.shown === "slider" && Math.abs(at.x - this.size.width * this.split) < 20;
    });
    surface.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      this.pointers.set(event.pointerId, now);
      if (this.isSplitting) {
        this.split = Math.min(1, Math.max(0, local(event).x / this.size.width));
        this.slider.value = this.split * 100;
        this.redraw();
      } else if (others.length) {
        const far = (one) => Math.hypot(one.x - others[0].x, one.y - others[0].y) || 1;
        this.zoom(far(now) / far(before), local(event));
      } else if (!this.isWhole) {
        this.move(now.x - before.x, now.y - before.y);
      }
    });
    for (const ending of ["pointerup", "pointercancel"]) {
      surface.addEventListener(ending, (event) => { this.pointers.delete(event.pointerId); this.isSplitting = false; });
    }
  }

  close() {
    this.resizing.disconnect();
    this.bar.remove();
  }
}
