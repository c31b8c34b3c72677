// Regions, brushed: on the photo, where each painting goes; on a painting, what may be taken of it.

import { upload, view } from "./api.js";
import { desk, keep } from "./desk.js";
import { $, made, pressed, trying } from "./elements.js";

export const REGION_COLORS = ["#d9a45b", "#6fa8dc", "#93c47d", "#c27ba0", "#e06666", "#76c7c0", "#b4a7d6", "#f6e27a"];
const LONGEST = 1024;

// A mask in the making: white where it was brushed.
class Mask {
  constructor([width, height]) {
    const factor = Math.min(1, LONGEST / Math.max(width, height));
    this.canvas = made("canvas", { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.isTouched = false;
  }

  async load(key) {
    const image = new Image();
    image.src = view(key, LONGEST);
    await image.decode();
    const { width, height } = this.canvas;
    this.context.drawImage(image, 0, 0, width, height);
    const levels = this.context.getImageData(0, 0, width, height);
    for (let i = 0; i < levels.data.length; i += 4) levels.data[i + 3] = levels.data[i];
    this.context.putImageData(levels, 0, 0);
    this.isTouched = true;
  }

  stroke(from, to, width, isErasing) {
    const pen = this.context;
    pen.globalCompositeOperation = isErasing ? "destination-out" : "source-over";
    pen.strokeStyle = "#fff";
    pen.lineWidth = width;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    this.isTouched ||= !isErasing;
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.isTouched = false;
  }

  // On black, as a PNG; or what is left of white once others have been taken away.
  async png(others = null) {
    const { width, height } = this.canvas;
    const flat = made("canvas", { width, height });
    const pen = flat.getContext("2d");
    if (others) {
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, width, height);
      pen.globalCompositeOperation = "destination-out";
      for (const { canvas } of others) pen.drawImage(canvas, 0, 0);
    } else pen.drawImage(this.canvas, 0, 0);
    pen.globalCompositeOperation = "destination-over";
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    return new Promise((done) => { flat.toBlob(done, "image/png"); });
  }
}

export class Brushes {
  constructor(done) {
    this.done = done;
    $("erase").addEventListener("click", () => this.erase(!this.isErasing));
    $("clear").addEventListener("click", () => { this.mask.clear(); this.draw(); });
    $("brushed").addEventListener("click", () => trying(() => this.close()));
    new ResizeObserver(() => this.fit()).observe($("easel"));
    this.listen();
  }

  async open() {
    const mask = async (size, key) => {
      const one = new Mask(size);
      if (key) await one.load(key);
      return one;
    };
    await trying(async () => {
      this.regions = await Promise.all(desk.paintings.map((one) => mask(desk.photo.size, one.mask)));
      this.parts = await Promise.all(desk.paintings.map((one) => mask(one.size, one.style_mask)));
    });
    this.erase(false);
    $("brushes").showModal();
    this.show(-1);
  }

  // The photo, or a painting by its number.
  show(number) {
    this.shown = number;
    const names = ["Photo", ...desk.paintings.map(({ name }) => name.replaceAll("_", " "))];
    $("canvases").replaceChildren(...names.map((name, place) => {
      const tab = made("button", { role: "tab", textContent: name.length > 22 ? `${name.slice(0, 20)}…` : name, onclick: () => this.show(place - 1) });
      tab.setAttribute("aria-selected", String(place - 1 === number));
      return tab;
    }));
    $("colors-of-brush").replaceChildren(...(number < 0 ? desk.paintings.map((one, place) => this.color(one, place)) : []));
    this.take(number < 0 ? 0 : number);
    $("brush-hint").textContent = number < 0
      ? "Brush where each painting goes. A painting without a region of its own goes wherever the others do not."
      : "Brush what may be taken of this painting. Nothing brushed: all of it.";
    const picture = number < 0 ? desk.photo : desk.paintings[number];
    $("easel").firstElementChild.src = view(picture.key, LONGEST);
    this.fit();
  }

  color(one, number) {
    const dot = made("i", { className: "dot" });
    dot.style.background = REGION_COLORS[number % REGION_COLORS.length];
    return made("button", { title: one.name, onclick: () => this.take(number) }, dot, one.name.replaceAll("_", " ").slice(0, 14));
  }

  take(number) {
    this.taken = number;
    [...$("colors-of-brush").children].forEach((button, place) => pressed(button, place === number));
  }

  get mask() { return this.shown < 0 ? this.regions[this.taken] : this.parts[this.shown]; }

  erase(isErasing) {
    this.isErasing = isErasing;
    pressed($("erase"), isErasing);
  }

  fit() {
    if (!$("brushes").open) return;
    const [image, canvas] = $("easel").children;
    const { width, height } = this.mask.canvas;
    const factor = Math.min($("easel").clientWidth / width, $("easel").clientHeight / height);
    canvas.width = width;
    canvas.height = height;
    for (const one of [image, canvas]) {
      one.style.width = `${width * factor}px`;
      one.style.height = `${height * factor}px`;
      one.style.left = `${($("easel").clientWidth - width * factor) / 2}px`;
    }
    this.draw();
  }

  draw() {
    const canvas = $("easel").lastElementChild;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const shown = this.shown < 0 ? this.regions : [this.parts[this.shown]];
    shown.forEach((mask, place) => pen.drawImage(tinted(mask.canvas, REGION_COLORS[(this.shown < 0 ? place : this.shown) % REGION_COLORS.length]), 0, 0));
  }

  listen() {
    const canvas = $("easel").lastElementChild;
    let last = null;
    const at = ({ clientX, clientY }) => {
      const box = canvas.getBoundingClientRect();
      return [(clientX - box.left) * canvas.width / box.width, (clientY - box.top) * canvas.height / box.height];
    };
    const stroke = (from, to) => {
      const width = Number($("brush-size").value) / 100 * Math.max(canvas.width, canvas.height) / 2;
      this.mask.stroke(from, to, width, this.isErasing);
      if (this.shown < 0 && !this.isErasing) {
        for (const other of this.regions) if (other !== this.mask) other.stroke(from, to, width, true);
      }
      this.draw();
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = at(event);
      stroke(last, last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = at(event);
      stroke(last, now);
      last = now;
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { last = null; });
  }

  async close() {
    const brushed = this.regions.filter((mask) => mask.isTouched);
    for (const [number, one] of desk.paintings.entries()) {
      const region = this.regions[number];
      one.mask = brushed.length ? await kept(await region.png(region.isTouched ? null : brushed), `mask ${number + 1}`) : null;
    }
    const isAnyTaken = this.parts.some((mask) => mask.isTouched);
    for (const [number, one] of desk.paintings.entries()) {
      const part = this.parts[number];
      one.style_mask = isAnyTaken ? await kept(await part.png(part.isTouched ? null : []), `style mask ${number + 1}`) : null;
    }
    keep();
    $("brushes").close();
    this.done();
  }
}

async function kept(png, name) {
  return (await upload(png, `${name}.png`, { mask: true })).key;
}

function tinted(mask, color) {
  const canvas = made("canvas", { width: mask.width, height: mask.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(mask, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = color;
  pen.fillRect(0, 0, mask.width, mask.height);
  return canvas;
}
