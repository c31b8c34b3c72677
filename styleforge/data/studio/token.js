// The token, once; the server answers with a cookie.

const said = document.getElementById("said");

document.getElementById("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/token", { method: "POST", body: document.getElementById("token").value });
  if (answer.ok) location.reload();
  else said.textContent = (await answer.json()).error;
});
