// What the page asks of the studio; whatever goes wrong is one line.

export async function ask(path, body) {
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return answered(await fetched(path, sent));
}

export async function picture(path, body) {
  const answer = await fetched(path, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.blob();
}

export async function upload(file, name, { mask = false } = {}) {
  const query = new URLSearchParams(mask ? { name, mask: "" } : { name });
  return answered(await fetched(`/api/pictures?${query}`, { method: "POST", body: file }));
}

async function fetched(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Error("The studio does not answer: has it ended?");
  }
}

async function answered(answer) {
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}

export const view = (key, side) => `/api/pictures/${key}?side=${side}`;
export const sample = (key, style) => `/api/pictures/${key}/in/${encodeURIComponent(style)}`;
export const result = (name, what, side = 0) => `/api/shelf/${encodeURIComponent(name)}/${what}${side ? `?side=${side}` : ""}`;

// News of the queue, for as long as the page is open; frames come between.
export function listen({ queue, frame, lost }) {
  const socket = new WebSocket(`ws://${location.host}/api/news`);
  socket.binaryType = "blob";
  socket.onmessage = ({ data }) => (typeof data === "string" ? queue(JSON.parse(data).queue) : frame(data));
  socket.onclose = () => { lost(); setTimeout(() => listen({ queue, frame, lost }), 1500); };
}
