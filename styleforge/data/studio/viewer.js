// A picture, as a whole or to its pixels; the photo beside it behind a line that can be moved.

const NEAREST = 2;
const LARGEST = 32;

export class Viewer {
  constructor(root, { moved = () => {}, pointed = () => {} } = {}) {
    root.insertAdjacentHTML("beforeend", '<div class="viewer"><div class="sheet"><img class="after" alt="" hidden><img class="before" alt="" hidden></div><div class="line" hidden role="separator" aria-label="Before and after" tabindex="0"></div><span class="caption"></span></div>');
    this.root = root.lastElementChild;
    [this.sheet, this.line, this.caption] = this.root.children;
    [this.after, this.before] = this.sheet.children;
    this.moved = moved;
    this.pointed = pointed;
    this.size = [1, 1];
    this.place = { scale: 0, x: 0, y: 0 };
    this.share = 0.5;
    this.isSplit = false;
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  // One that is exact shows its pixels when it is zoomed into; others are only enlarged.
  show(url, size, caption = "", isExact = false) {
    this.isExact = isExact;
    this.after.hidden = !url;
    if (url) this.after.src = url;
    this.caption.textContent = caption;
    this.resize(size);
  }

  resize(size) {
    const factor = this.size[0] / size[0];
    this.size = size;
    if (this.place.scale) this.place.scale *= factor;
    this.draw();
  }

  frame(blob, size, final) {
    const url = URL.createObjectURL(blob);
    this.after.onload = () => URL.revokeObjectURL(url);
    this.show(url, final, `${size[0]} × ${size[1]}`);
  }

  compareWith(url) {
    this.before.hidden = !url;
    if (url && this.before.getAttribute("src") !== url) this.before.src = url;
    this.draw();
  }

  split(isSplit) {
    this.isSplit = isSplit;
    this.draw();
  }

  fit() { this.look({ scale: 0, x: 0, y: 0 }); }

  pixels() { this.zoomTo(1 / devicePixelRatio, this.root.clientWidth / 2, this.root.clientHeight / 2); }

  look(place) {
    this.place = place;
    this.draw();
    this.moved(place);
  }

  get fitting() {
    return Math.min(this.root.clientWidth / this.size[0], this.root.clientHeight / this.size[1]) * 0.96;
  }

  get scale() { return this.place.scale || this.fitting; }

  get corner() {
    const { clientWidth: width, clientHeight: height } = this.root;
    return [(width - this.size[0] * this.scale) / 2 + this.place.x, (height - this.size[1] * this.scale) / 2 + this.place.y];
  }

  zoomTo(scale, x, y) {
    const [left, top] = this.corner;
    const bounded = Math.min(LARGEST, Math.max(Math.min(this.fitting, 1 / devicePixelRatio) / 2, scale));
    const ratio = bounded / this.scale;
    const { clientWidth: width, clientHeight: height } = this.root;
    this.look({
      scale: bounded,
      x: x - (x - left) * ratio - (width - this.size[0] * bounded) / 2,
      y: y - (y - top) * ratio - (height - this.size[1] * bounded) / 2,
    });
  }

  draw() {
    const [left, top] = this.corner;
    const [width, height] = this.size;
    const style = this.sheet.style;
    style.width = `${width}px`;
    style.height = `${height}px`;
    style.transform = `translate(${left}px, ${top}px) scale(${this.scale})`;
    this.root.classList.toggle("near", Boolean(this.isExact && this.place.scale) && this.scale * devicePixelRatio >= NEAREST);
    const isSplit = this.isSplit && !this.before.hidden && !this.after.hidden;
    this.line.hidden = !isSplit;
    this.before.style.visibility = isSplit || this.after.hidden ? "visible" : "hidden";
    this.before.style.clipPath = isSplit ? `inset(0 ${100 * (1 - this.share)}% 0 0)` : "none";
    this.line.style.left = `${left + this.share * width * this.scale}px`;
    this.line.style.top = `${Math.max(0, top)}px`;
    this.line.style.bottom = `${Math.max(0, this.root.clientHeight - top - height * this.scale)}px`;
  }

  listen() {
    const pointers = new Map();
    this.root.addEventListener("wheel", (event) => {
      event.preventDefault();
      const [x, y] = this.at(event);
      this.zoomTo(this.scale * Math.exp(-event.deltaY * 0.002), x, y);
    }, { passive: false });
    this.root.addEventListener("dblclick", (event) => {
      if (this.place.scale) this.fit();
      else this.zoomTo(1 / devicePixelRatio, ...this.at(event));
    });
    this.root.addEventListener("pointerdown", (event) => {
      this.root.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, this.at(event));
      this.isMovingLine = event.target === this.line;
      this.root.classList.add("dragged");
    });
    this.root.addEventListener("pointermove", (event) => {
      const [x, y] = this.at(event);
      this.point(x, y);
      const before = pointers.get(event.pointerId);
      if (!before) return;
      if (this.isMovingLine) this.moveLine((x - this.corner[0]) / (this.size[0] * this.scale));
      else if (pointers.size === 2) this.pinch(pointers, event.pointerId, [x, y]);
      else this.look({ scale: this.scale, x: this.place.x + x - before[0], y: this.place.y + y - before[1] });
      pointers.set(event.pointerId, [x, y]);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.root.addEventListener(kind, (event) => {
        pointers.delete(event.pointerId);
        this.root.classList.remove("dragged");
      });
    }
    this.root.addEventListener("pointerleave", () => this.pointed(null));
    this.line.addEventListener("keydown", ({ key }) => {
      if (key === "ArrowLeft" || key === "ArrowRight") this.moveLine(this.share + (key === "ArrowLeft" ? -0.02 : 0.02));
    });
  }

  pinch(pointers, moving, [x, y]) {
    const [other] = [...pointers].filter(([id]) => id !== moving).map(([, place]) => place);
    const [was] = [pointers.get(moving)];
    const ratio = Math.hypot(x - other[0], y - other[1]) / Math.hypot(was[0] - other[0], was[1] - other[1]);
    this.zoomTo(this.scale * ratio, (x + other[0]) / 2, (y + other[1]) / 2);
  }

  moveLine(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.draw();
  }

  // Where in the picture, from 0 to 1, the pointer is; nothing outside of it.
  point(x, y) {
    const [left, top] = this.corner;
    const [u, v] = [(x - left) / (this.size[0] * this.scale), (y - top) / (this.size[1] * this.scale)];
    this.pointed(u >= 0 && u < 1 && v >= 0 && v < 1 && !this.after.hidden ? [u, v] : null);
  }

  at(event) {
    const box = this.root.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}
