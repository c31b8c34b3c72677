// What lies on the desk: kept by the browser, so that closing the tab loses nothing.

const KEY = "styleforge-desk";

const EMPTY = {
  tab: "styles", photo: null, styles: {}, quick: { strength: 1, colors: "style", size: 1024 },
  paintings: [], preset: "painterly", settings: {}, result: null,
};

export const desk = { ...EMPTY, ...read() };

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
}

export function keep(change = {}) {
  Object.assign(desk, change);
  localStorage.setItem(KEY, JSON.stringify(desk));
}
