// The results: one to look at, to compare, to change, to print, to take home.

import { ask, result, view } from "./api.js";
import { desk, keep } from "./desk.js";
import { $, made, pressed, trying } from "./elements.js";
import { plan } from "./paint.js";

export class Shelf {
  constructor({ open, change, compared }) {
    this.results = [];
    this.open = open;
    this.compared = compared;
    this.isComparing = false;
    $("change").addEventListener("click", () => change(this.chosen.task));
    $("compare").addEventListener("click", () => this.compare(!this.isComparing));
    $("copy").addEventListener("click", () => this.copy());
    $("print-plan").addEventListener("click", () => this.plan());
    $("print").addEventListener("click", () => trying(async () => {
      await ask("/api/queue", this.printed());
      $("print-planned").textContent = "It is in the queue.";
    }));
    for (const id of ["paper", "dpi"]) $(id).addEventListener("input", () => { $("print").disabled = this.isPlanned(); });
  }

  async read() {
    this.results = (await trying(() => ask("/api/shelf"))) ?? this.results;
    $("shelf").replaceChildren(...this.results.map((one) => {
      const image = made("img", { src: `${result(one.name, "view", 256)}&made=${one.made}`, alt: one.name, loading: "lazy" });
      const button = made("button", { title: one.name, onclick: () => this.pick(one.name) }, image);
      button.dataset.name = one.name;
      return button;
    }));
    this.mark();
  }

  get chosen() { return this.results.find(({ name }) => name === desk.result); }

  pick(name) {
    const one = this.results.find((other) => other.name === name);
    if (!one) return;
    if (this.isComparing && name !== desk.result) this.compared(this.chosen, one);
    else {
      keep({ result: name });
      this.show(one);
      this.open(one);
    }
    this.mark();
  }

  mark() {
    for (const button of $("shelf").children) pressed(button, button.dataset.name === desk.result);
    $("result").hidden = !this.chosen;
    $("no-result").hidden = Boolean(this.chosen);
    if (this.chosen) this.show(this.chosen);
  }

  compare(isComparing) {
    this.isComparing = isComparing;
    pressed($("compare"), isComparing);
    $("compare-hint").textContent = isComparing ? "Choose the other picture below; both move together." : "";
    if (!isComparing && this.chosen) this.open(this.chosen);
  }

  show(one) {
    $("result-name").textContent = one.name;
    $("png").href = result(one.name, "png");
    $("tiff").href = result(one.name, "tiff");
    $("tiff").hidden = !one.tiff;
    $("command").textContent = one.command;
    const isWhole = one.task && one.task.photo && (one.task.kind === "quick" || one.task.paintings.every(({ key }) => key));
    $("change").disabled = $("print-plan").disabled = !isWhole;
    $("print").disabled = this.isPlanned();
    $("print-planned").textContent = "";
    $("recipe").replaceChildren(...told(one).flatMap(([name, text]) => [made("dt", { textContent: name }), made("dd", { textContent: text })]));
  }

  isPlanned() { return this.chosen?.task?.kind !== "quick"; }

  printed() {
    const { task } = this.chosen;
    const { size, ...rest } = task.settings ?? {};
    const printed = { paper: $("paper").value, dpi: Number($("dpi").value) };
    if (task.kind === "quick") return { ...task, size: 0, printed };
    return { ...task, settings: rest, printed };
  }

  async plan() {
    if (this.chosen.task.kind === "quick") {
      $("print-planned").textContent = "One pass: seconds.";
      return;
    }
    const found = await plan($("print-planned"), () => this.printed());
    $("print").disabled = !found;
  }

  async copy() {
    const text = $("command").textContent;
    try {
      await navigator.clipboard.writeText(text);
      $("copy").textContent = "Copied";
    } catch { // only on this machine, or by https
      getSelection().selectAllChildren($("command"));
      $("copy").textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
  }
}

function told({ size, recipe, turns }) {
  const lines = [["Size", `${size[0]} × ${size[1]} pixels`]];
  if (recipe.styles && !Array.isArray(recipe.styles)) {
    lines.push(["Style", Object.entries(recipe.styles).map(([name, weight]) => `${name} ${weight}`).join(", ")], ["Strength", String(recipe.strength)], ["Colors", recipe.colors]);
  } else if (recipe.settings) {
    const { settings } = recipe;
    lines.push(["Preset", recipe.preset], ["Strength", String(settings.strength)], ["Strokes", `${settings.style.scale} ×`], ["Colors", settings.colors]);
    if (recipe.masks.length) lines.push(["Regions", "on the photo"]);
    if (recipe.style_masks.length) lines.push(["Taken from", "parts of the paintings"]);
    for (const { evaluations, settings: turned } of recipe.turns ?? []) {
      lines.push([`From ${evaluations} on`, Object.entries(turned).map(([name, value]) => `${name.replace("style.scale", "strokes")} ${value}`).join(", ")]);
    }
    if (recipe.evaluations) lines.push(["Stopped", `after ${recipe.evaluations} evaluations`]);
  }
  return lines;
}

// The places of a result in its paintings, for the pointer.
export class Sources {
  constructor() {
    this.sources = null;
  }

  async of(one) {
    this.sources = null;
    if (one.task?.kind !== "paint") return;
    const [name, found] = [one.name, await trying(() => ask(result(one.name, "sources")))];
    if (name === desk.result && found) Object.assign(this, { sources: found, paintings: one.task.paintings });
  }

  point(place) {
    const key = place && this.sources ? this.at(place) : null;
    $("source").hidden = !key;
  }

  at([u, v]) {
    const { rows, columns, style, x, y } = this.sources;
    const cell = Math.floor(v * rows) * columns + Math.floor(u * columns);
    const painting = this.paintings[style[cell]];
    if (!painting?.key) return null;
    const [image, ring] = $("source").firstElementChild.children;
    const url = view(painting.key, 512);
    if (image.getAttribute("src") !== url) image.src = url;
    ring.style.left = `${100 * x[cell]}%`;
    ring.style.top = `${100 * y[cell]}%`;
    $("source").lastElementChild.textContent = `from ${Math.round(100 * x[cell])} % across, ${Math.round(100 * y[cell])} % down`;
    return painting.key;
  }
}
