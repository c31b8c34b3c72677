// A transfer: its paintings and knobs, and the job that is being carried out.

import { ask, view } from "./api.js";
import { Brushes, REGION_COLORS } from "./brush.js";
import { desk, keep } from "./desk.js";
import { $, duration, made, options, pressed, trying } from "./elements.js";

export const COLORS = [["style", "the painting's"], ["content", "the photo's, spread"], ["luminance", "light and dark only"], ["keep", "the photo's"]];
const SETTLED = 350;

export class Paint {
  constructor(stock, begun) {
    this.stock = stock;
    this.begun = begun;
    this.running = null;
    this.brushes = new Brushes(() => this.show());
    options($("colors"), COLORS);
    options($("preset"), stock.presets.map(({ name }) => [name, name]));
    $("preset").addEventListener("change", () => this.takePreset($("preset").value));
    for (const id of ["strength", "style-scale", "colors"]) $(id).addEventListener("input", () => this.turned());
    for (const id of ["size", "steps"]) $(id).addEventListener("change", () => this.read());
    $("brush").addEventListener("click", () => this.brushes.open());
    $("paint").addEventListener("click", () => trying(() => this.paint()));
    $("plan").addEventListener("click", () => plan($("planned"), () => this.task()));
    for (const [id, command] of [["pause", null], ["stop", "stop"], ["cancel", "cancel"]]) {
      $(id).addEventListener("click", () => this.command(command ?? (this.running.state === "paused" ? "go-on" : "pause")));
    }
    if (Object.keys(desk.settings).length) this.write();
    else this.takePreset(desk.preset);
    this.show();
  }

  takePreset(name) {
    const { description, name: _, ...settings } = this.stock.presets.find((one) => one.name === name) ?? this.stock.presets[0];
    $("preset").title = description;
    keep({ preset: name, settings });
    this.write();
  }

  write() {
    const { strength, style_scale: scale, colors, size, steps } = desk.settings;
    $("strength").value = strength;
    $("style-scale").value = Math.log2(scale);
    $("colors").value = colors;
    $("size").value = size;
    $("steps").value = steps;
    $("preset").value = desk.preset;
    this.label();
  }

  read() {
    keep({ settings: {
      ...desk.settings,
      strength: Number($("strength").value),
      style_scale: Math.round(100 * 2 ** Number($("style-scale").value)) / 100,
      colors: $("colors").value,
      size: Math.round(Number($("size").value)),
      steps: Math.round(Number($("steps").value)),
    } });
    this.label();
  }

  label() {
    $("strength").parentElement.querySelector("output").textContent = desk.settings.strength.toFixed(2);
    $("style-scale").parentElement.querySelector("output").textContent = `${desk.settings.style_scale.toFixed(2)} ×`;
  }

  add(painting) {
    if (desk.paintings.some(({ key }) => key === painting.key)) return;
    desk.paintings.push({ ...painting, weight: 1, mask: null, style_mask: null });
    this.changed();
  }

  toggle(painting) {
    const without = desk.paintings.filter(({ key }) => key !== painting.key);
    if (without.length === desk.paintings.length) this.add(painting);
    else { desk.paintings = without; this.changed(); }
  }

  // Masks belong to the paintings that there were.
  changed() {
    for (const one of desk.paintings) one.mask = null;
    keep();
    this.show();
  }

  show() {
    const several = desk.paintings.length > 1;
    $("paintings").replaceChildren(...desk.paintings.map((one, number) => this.card(one, number, several)));
    $("sample-paintings").replaceChildren(...this.stock.paintings.map((one) => {
      const button = made("button", { title: one.name.replaceAll("_", " "), onclick: () => this.toggle(one) }, made("img", { src: view(one.key, 128), alt: one.name }));
      pressed(button, desk.paintings.some(({ key }) => key === one.key));
      return button;
    }));
    $("brush").disabled = $("paint").disabled = $("plan").disabled = !desk.photo || !desk.paintings.length;
    const brushed = desk.paintings.some(({ mask }) => mask) ? "on the photo" : "";
    const taken = desk.paintings.some(({ style_mask: mask }) => mask) ? "on the paintings" : "";
    $("regions").textContent = [brushed, taken].filter(Boolean).join(" and ");
  }

  card(one, number, several) {
    const range = made("input", { type: "range", min: 0.05, max: 2, step: 0.05, value: one.weight, hidden: !several, ariaLabel: `${one.name}, weight` });
    range.addEventListener("input", () => { one.weight = Number(range.value); this.turned(); });
    const dot = made("i", { className: "dot" });
    dot.style.background = REGION_COLORS[number % REGION_COLORS.length];
    return made("div", { className: "mix" }, made("img", { src: view(one.key, 128), alt: "" }), made("span", {}, dot, one.name.replaceAll("_", " ")), range,
      made("button", { textContent: "×", title: `Without ${one.name}`, onclick: () => this.toggle(one) }));
  }

  task() {
    const paintings = desk.paintings.map(({ key, weight, mask, style_mask }) => ({ key, weight, mask, style_mask }));
    return { kind: "paint", photo: desk.photo.key, paintings, preset: desk.preset, settings: desk.settings };
  }

  async paint() {
    this.read();
    await ask("/api/queue", this.task());
    this.begun();
  }

  // Knobs that were moved while this desk's picture is painted go into it.
  turned() {
    this.read();
    keep();
    clearTimeout(this.timer);
    if (this.running && this.isOurs()) this.timer = setTimeout(() => trying(() => this.turn()), SETTLED);
  }

  isOurs() {
    const { task } = this.running;
    const same = (ours, theirs) => ours.length === theirs.length && ours.every((one, number) => one.key === theirs[number].key);
    return task.kind === "paint" && task.photo === desk.photo?.key && same(desk.paintings, task.paintings);
  }

  async turn() {
    const { strength, style_scale, colors } = desk.settings;
    await ask(`/api/queue/${this.running.number}/turn`, { settings: { strength, style_scale, colors }, weights: desk.paintings.map(({ weight }) => weight) });
  }

  command(name) {
    return trying(() => ask(`/api/queue/${this.running.number}/${name}`, {}));
  }

  news(queue) {
    this.running = queue.find(({ state }) => state === "running" || state === "paused") ?? null;
    $("job").hidden = !this.running;
    if (this.running) this.showJob(this.running);
    const jobs = queue.filter(({ task }) => task.kind !== "plan");
    const shown = ["waiting", "failed"].flatMap((kind) => jobs.filter(({ state }) => state === kind));
    $("queue-title").hidden = !shown.length;
    $("queue").replaceChildren(...shown.map((one, place) => this.line(one, place)));
  }

  showJob({ title, state, step, message }) {
    $("job-title").textContent = title;
    $("job-share").value = step?.share ?? 0;
    $("job-line").textContent = state === "paused" ? "Paused" : step ? `${progress(step)}` : "Loading";
    $("job-refused").textContent = message;
    $("job-hint").hidden = !this.isOurs();
    $("pause").textContent = state === "paused" ? "Go on" : "Pause";
    $("pause").disabled = $("stop").disabled = !step;
  }

  line({ number, title, state, message }, place) {
    const said = state === "failed" ? message : place ? `${place} before it` : "next";
    const gone = made("button", { textContent: "×", title: "Take it out", hidden: state === "failed", onclick: () => trying(() => ask(`/api/queue/${number}/cancel`, {})) });
    return made("li", {}, made("span", { textContent: title, title }), made("em", { className: state, textContent: said }), gone);
  }
}

export function progress({ scale, scales, size, left, share }) {
  const time = left === null ? "" : `, about ${duration(left)} left`;
  return `${Math.floor(100 * share)} %, scale ${scale} of ${scales}, ${size[0]} × ${size[1]}${time}`;
}

// The dry run: how large, how long, how much memory.
export async function plan(place, task) {
  place.textContent = "Measuring…";
  const found = await trying(() => ask("/api/plan", task()));
  if (!found) { place.textContent = ""; return null; }
  const [width, height] = found.size;
  const tiles = found.tile ? `, in tiles of ${found.tile}` : "";
  place.textContent = `${width} × ${height} pixels, about ${duration(found.seconds)}, ${(found.memory / 2 ** 30).toFixed(1)} GiB of memory${tiles}`;
  return found;
}
