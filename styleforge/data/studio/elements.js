// Small things that the page is made of.

export const $ = (id) => document.getElementById(id);

export function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function pressed(button, isPressed) {
  button.setAttribute("aria-pressed", String(isPressed));
}

export function options(select, values) {
  select.replaceChildren(...values.map(([value, text]) => made("option", { value, textContent: text })));
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

let timer;

// A line for the user, for a while.
export function say(line) {
  $("said").textContent = line;
  $("said").hidden = !line;
  clearTimeout(timer);
  timer = setTimeout(() => { $("said").hidden = true; }, 12000);
}

// Carry out, and say what goes wrong.
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message);
    return undefined;
  }
}

// Only the newest of what comes too fast, one at a time.
export function newest(work) {
  let isBusy = false;
  let next = null;
  return async function run(...given) {
    if (isBusy) { next = given; return; }
    isBusy = true;
    await trying(() => work(...given));
    isBusy = false;
    if (next) { const last = next; next = null; run(...last); }
  };
}
