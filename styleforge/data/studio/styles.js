// The photo in trained styles, in one pass; sliders mix those of one network.

import { ask, picture, sample } from "./api.js";
import { desk, keep } from "./desk.js";
import { $, made, newest, options, pressed, trying } from "./elements.js";
import { COLORS } from "./paint.js";

export class Styles {
  constructor(styles, painted) {
    this.styles = styles;
    this.painted = painted;
    this.paint = newest(() => this.paintOnce());
    options($("quick-colors"), COLORS);
    $("quick-colors").value = desk.quick.colors;
    $("quick-strength").value = desk.quick.strength;
    $("quick-size").value = desk.quick.size;
    for (const id of ["quick-strength", "quick-colors", "quick-size"]) $(id).addEventListener("input", () => this.change());
    $("keep").addEventListener("click", () => trying(() => ask("/api/queue", { ...this.task(), size: desk.quick.size })));
    this.forget();
    this.label();
    this.showMixture();
  }

  // Those that are no longer there.
  forget() {
    const names = this.styles.map(({ name }) => name);
    for (const name of Object.keys(desk.styles)) if (!names.includes(name)) delete desk.styles[name];
  }

  showPhoto() {
    const models = [...new Set(this.styles.map(({ model }) => model))].reverse();
    $("styles").replaceChildren(...models.flatMap((model) => [
      made("h3", { textContent: model }),
      made("div", { className: "grid" }, ...this.styles.filter((style) => style.model === model).map((style) => this.button(style))),
    ]));
    if (Object.keys(desk.styles).length) this.paint();
  }

  button({ name }) {
    const image = made("img", { src: sample(desk.photo.key, name), alt: "", loading: "lazy" });
    const button = made("button", { title: name, onclick: () => this.pick(name) }, image, made("span", { textContent: name }));
    button.dataset.style = name;
    pressed(button, name in desk.styles);
    return button;
  }

  pick(name) {
    const model = (one) => this.styles.find((style) => style.name === one)?.model;
    if (name in desk.styles) delete desk.styles[name];
    else {
      const others = Object.entries(desk.styles).filter(([one]) => model(one) === model(name));
      desk.styles = { ...Object.fromEntries(others), [name]: 1 };
    }
    keep();
    this.showMixture();
    this.paint();
  }

  showMixture() {
    for (const button of $("styles").querySelectorAll("button")) pressed(button, button.dataset.style in desk.styles);
    const names = Object.keys(desk.styles);
    $("mixture").replaceChildren(...(names.length > 1 ? names.map((name) => this.slider(name)) : []));
    $("keep").disabled = !names.length || !desk.photo;
  }

  slider(name) {
    const range = made("input", { type: "range", min: 0.02, max: 1, step: 0.02, value: desk.styles[name], ariaLabel: `${name}, weight` });
    range.addEventListener("input", () => {
      desk.styles[name] = Number(range.value);
      keep();
      this.paint();
    });
    return made("div", { className: "mix" }, made("img", { src: sample(desk.photo.key, name), alt: "" }), made("span", { textContent: name }), range,
      made("button", { textContent: "×", title: `Without ${name}`, onclick: () => this.pick(name) }));
  }

  change() {
    keep({ quick: { strength: Number($("quick-strength").value), colors: $("quick-colors").value, size: Number($("quick-size").value) } });
    this.label();
    this.paint();
  }

  label() {
    $("quick-strength").parentElement.querySelector("output").textContent = desk.quick.strength.toFixed(2);
  }

  task() {
    return { kind: "quick", photo: desk.photo.key, styles: desk.styles, strength: desk.quick.strength, colors: desk.quick.colors };
  }

  async paintOnce() {
    if (!desk.photo) return;
    const names = Object.keys(desk.styles);
    this.painted(names.length ? await picture("/api/quick", this.task()) : null, names.join(" + "));
  }
}
