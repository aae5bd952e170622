// References handed in by dragging: each file is sent, then all are checked together.

import { ask, toast } from "./desk.js";

const form = document.querySelector("[data-deliver]");

if (form) {
  const drop = form.querySelector("[data-drop]"), input = form.querySelector("[data-files]");
  const list = form.querySelector("[data-delivered]"), send = form.querySelector("[data-send]");
  const progress = form.querySelector("[data-progress]");
  const { most, mostMb } = form.dataset;
  let files = [];
  send.disabled = true;
  input.removeAttribute("name"); // each file is sent by itself

  const row = (file) => {
    const item = document.createElement("li");
    const image = document.createElement("img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.onerror = () => { image.hidden = true; };
    const name = document.createElement("bdi");
    name.textContent = file.name;
    const said = document.createElement("p");
    item.append(image, name, said);
    return { file, item, said };
  };

  const choose = (chosen) => {
    for (const file of chosen) {
      if (files.length >= most) { toast(`At most ${most} at once.`, { kind: "bad" }); break; }
      if (file.size > mostMb * 2 ** 20) { toast(`${file.name} is larger than ${mostMb} MiB.`, { kind: "bad" }); continue; }
      files.push(row(file));
    }
    list.replaceChildren(...files.map((one) => one.item));
    send.disabled = !files.length;
    progress.textContent = files.length ? `${files.length} chosen` : "";
  };

  const upload = async (address, one, number) => {
    const { name } = one.file;
    try {
      await ask(`${address}/${number}?name=${encodeURIComponent(name.slice(0, 300))}`, { method: "POST", body: one.file });
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
  };

  const handIn = async () => {
    const name = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const address = `/references/deliveries/${name}`;
    for (const [number, one] of files.entries()) {
      progress.textContent = `sending ${number + 1} of ${files.length} …`;
      await upload(address, one, number);
    }
    progress.textContent = "checking …";
    const said = new URLSearchParams(new FormData(form));
    said.delete("csrf"); // it is in the head of what is asked
    const told = await ask(address, { method: "POST", body: said });
    for (const one of told) {
      const { item, said } = files[one.number];
      item.className = one.refusal ? "refused" : "taken";
      said.textContent = one.refusal ? `Refused, ${one.refusal.replaceAll("_", " ")}: ${one.detail}`
        : `Taken in as reference ${one.reference}, ${one.split === "train" ? "to learn from" : "held out"}`;
    }
    const taken = told.filter((one) => !one.refusal).length;
    progress.textContent = `${taken} of ${told.length} taken in`;
    files = [];
  };

  input.addEventListener("change", () => { choose(input.files); input.value = ""; });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); choose(event.dataTransfer.files); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try { await handIn(); } catch (error) {
      progress.textContent = "";
      send.disabled = false;
      toast(error.message, { kind: "bad", seconds: 12 });
    }
  });
}
