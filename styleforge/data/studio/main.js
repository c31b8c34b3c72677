// The page: what is dropped, what is shown, and which knobs are at hand.

import { ask, listen, result, upload, view } from "./api.js";
import { desk, keep } from "./desk.js";
import { $, made, pressed, say, trying } from "./elements.js";
import { Paint, progress } from "./paint.js";
import { Shelf, Sources } from "./shelf.js";
import { Styles } from "./styles.js";
import { Viewer } from "./viewer.js";

const BEFORE = 2048;

const stock = await ask("/api/stock");
const sources = new Sources();
const viewer = new Viewer($("viewers"), { moved: (place) => { other?.look(place); label(); }, pointed: (place) => sources.point(place) });
const shelf = new Shelf({ open, change, compared });
const styles = new Styles(stock.styles, showQuick);
const paint = new Paint(stock, () => { tab("paint"); isFollowing = true; });
let other = null;
let isFollowing = false;
const over = new Set();

function tab(name) {
  if (name !== desk.tab) $("panel").scrollTop = 0;
  keep({ tab: name });
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-selected", String(button.dataset.tab === name));
  for (const section of document.querySelectorAll("#panel section[data-for]")) section.hidden = section.dataset.for !== name;
  document.querySelector(".photo").hidden = name === "result";
}

function alone() {
  other?.root.remove();
  other = null;
  shelf.isComparing = false;
  pressed($("compare"), false);
  $("compare-hint").textContent = "";
}

function split(isSplit) {
  pressed($("split"), isSplit);
  viewer.split(isSplit);
}

function label() {
  $("zoom").textContent = `${Math.round(100 * viewer.scale * devicePixelRatio)} %`;
}

// Longest sides differ between a photo, its frames and its results; the sheet has the photo's shape.
function sheet(size) {
  const factor = Math.min(1, BEFORE / Math.max(...size));
  return size.map((side) => Math.round(side * factor));
}

function showPhoto() {
  const { photo } = desk;
  $("empty").hidden = Boolean(photo);
  const [image, text] = $("drop-photo").children;
  image.hidden = !photo;
  if (photo) {
    image.src = view(photo.key, 256);
    text.textContent = photo.name;
    sources.sources = null;
    viewer.show(null, sheet(photo.size));
    viewer.compareWith(view(photo.key, BEFORE));
    styles.showPhoto();
  }
  $("sample-photos").replaceChildren(...stock.photos.map((one) => {
    const button = made("button", { title: one.name, onclick: () => takePhoto(one) }, made("img", { src: view(one.key, 128), alt: one.name }));
    pressed(button, one.key === photo?.key);
    return button;
  }));
  styles.showMixture();
  paint.show();
  label();
}

function takePhoto(photo) {
  for (const one of desk.paintings) one.mask = null;
  isFollowing = false;
  alone();
  keep({ photo });
  showPhoto();
}

function showQuick(blob, caption) {
  if (desk.tab !== "styles") return;
  alone();
  isFollowing = false;
  sources.sources = null;
  const size = sheet(desk.photo.size);
  if (!blob) { viewer.show(null, size); return; }
  const url = URL.createObjectURL(blob);
  viewer.after.onload = () => { URL.revokeObjectURL(url); viewer.root.dataset.quick = String(performance.now()); };
  viewer.show(url, size, caption);
  viewer.compareWith(view(desk.photo.key, BEFORE));
  label();
}

function open(one) {
  alone();
  isFollowing = false;
  tab("result");
  $("empty").hidden = true;
  viewer.show(`${result(one.name, "picture")}?made=${one.made}`, one.size, "", true);
  viewer.compareWith(one.task?.photo ? view(one.task.photo, BEFORE) : null);
  trying(() => sources.of(one));
  label();
}

function compared(one, another) {
  other?.root.remove();
  split(false);
  sources.sources = null;
  other = new Viewer($("viewers"), { moved: (place) => { viewer.place = place; viewer.draw(); label(); } });
  viewer.show(`${result(one.name, "picture")}?made=${one.made}`, one.size, one.name, true);
  other.show(`${result(another.name, "picture")}?made=${another.made}`, one.size, another.name, another.size[0] === one.size[0]);
  viewer.fit();
}

async function change(task) {
  const known = (key) => trying(() => ask(`/api/pictures/${key}/about`));
  const photo = await known(task.photo);
  if (!photo) return;
  if (task.kind === "quick") {
    keep({ photo, styles: task.styles, quick: { strength: task.strength, colors: task.colors, size: task.size } });
  } else {
    const about = await Promise.all(task.paintings.map(({ key }) => known(key)));
    const paintings = task.paintings.map((one, number) => ({ ...about[number], ...one }));
    keep({ photo, paintings, preset: task.preset, settings: task.settings });
    paint.write();
  }
  alone();
  tab(task.kind === "quick" ? "styles" : "paint");
  showPhoto();
}

async function take(files, kind) {
  for (const file of files) {
    const stored = await trying(() => upload(file, file.name));
    if (!stored) continue;
    if (kind === "photo") { takePhoto(stored); return; }
    paint.add(stored);
    tab("paint");
  }
}

function news(queue) {
  paint.news(queue);
  const running = queue.find(({ state }) => state === "running" || state === "paused");
  const waiting = queue.filter(({ state }) => state === "waiting").length;
  $("work").hidden = !running || running.task.kind === "plan";
  if (running) $("work").textContent = `${running.step ? progress(running.step).split(",")[0] : "Loading"} · ${running.title}${waiting ? ` · ${waiting} waiting` : ""}`;
  const ended = queue.filter(({ name, number }) => name && !over.has(number));
  const failed = queue.filter(({ state, number }) => state === "failed" && !over.has(number));
  for (const { number } of [...ended, ...failed]) over.add(number);
  seen(ended, failed);
}

let isFirst = true;

// A studio that is started again counts its jobs anew.
function lost() {
  say("The studio does not answer: has it ended?");
  over.clear();
  isFirst = true;
}

async function seen(ended, failed) {
  const isNew = !isFirst;
  isFirst = false;
  if (failed.length && isNew) say(failed.at(-1).message);
  if (!ended.length) return;
  await shelf.read();
  if (isNew && (isFollowing || ended.at(-1).task.kind === "quick")) shelf.pick(ended.at(-1).name);
}

function frame(blob) {
  const running = paint.running;
  if (!running?.step || (desk.tab !== "paint" && !isFollowing)) return;
  if (desk.photo?.key !== running.task.photo && !isFollowing) return;
  isFollowing = true;
  alone();
  $("empty").hidden = true;
  sources.sources = null;
  viewer.compareWith(view(running.task.photo, BEFORE));
  const [width, height] = running.step.size;
  const factor = Math.min(1, BEFORE / Math.max(...(desk.photo?.size ?? [BEFORE]))) * Math.max(...(desk.photo?.size ?? [BEFORE])) / Math.max(width, height);
  viewer.frame(blob, [width, height], [width, height].map((side) => Math.round(side * factor)));
  viewer.root.dataset.frames = String(Number(viewer.root.dataset.frames ?? 0) + 1);
  label();
}

function choose(kind) {
  $("file").dataset.kind = kind;
  $("file").multiple = kind === "painting";
  $("file").click();
}

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  const kind = event.target.closest?.("[data-choose]")?.dataset.choose ?? (desk.tab === "paint" && desk.photo ? "painting" : "photo");
  if (event.dataTransfer.files.length) take([...event.dataTransfer.files], kind);
}

for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => {
    tab(button.dataset.tab);
    isFollowing = desk.tab === "paint" && Boolean(paint.running);
    if (desk.tab === "styles" && desk.photo) styles.paint();
    if (desk.tab === "result" && shelf.chosen) open(shelf.chosen);
  });
}
for (const place of document.querySelectorAll("[data-choose]")) {
  place.addEventListener("click", () => choose(place.dataset.choose));
  place.addEventListener("keydown", ({ key }) => { if (key === "Enter" || key === " ") choose(place.dataset.choose); });
}
$("file").addEventListener("change", async () => {
  await take([...$("file").files], $("file").dataset.kind);
  $("file").value = "";
});
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", dropped);
$("split").addEventListener("click", () => split(!viewer.isSplit));
$("fit").addEventListener("click", () => viewer.fit());
$("pixels").addEventListener("click", () => viewer.pixels());
$("work").addEventListener("click", () => { tab("paint"); isFollowing = true; });
addEventListener("resize", label);

tab(desk.tab);
showPhoto();
await shelf.read();
if (desk.tab === "result" && shelf.chosen) open(shelf.chosen);
listen({ queue: news, frame, lost });
document.body.dataset.ready = "true";
