// Progressive enhancement only: every page works without this file.
"use strict";

for (const drop of document.querySelectorAll("[data-drop]")) {
  const input = drop.querySelector("input");
  const name = drop.querySelector("[data-drop-name]");
  input.addEventListener("change", () => {
    if (input.files.length) name.textContent = input.files[0].name;
    const title = document.querySelector("input[name=title]");
    if (title && !title.value && input.files.length) {
      title.value = input.files[0].name.replace(/\.[^.]+$/, "").replace(/[_-]+/g, " ");
    }
  });
  input.addEventListener("dragenter", () => drop.classList.add("over"));
  for (const end of ["dragleave", "drop"]) input.addEventListener(end, () => drop.classList.remove("over"));
}

// A form that is on its way is not sent twice.
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button:not([type=button])");
    button.disabled = true;
    button.lastChild.textContent = form.dataset.busy;
  });
}
window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });

const problem = document.getElementById("problem");
if (problem) problem.focus();

// The server ends an idle session by itself; this only tells in time. Staying asks the server for a page.
const idleSeconds = Number(document.body.dataset.idle || 0);
if (idleSeconds) {
  const box = document.getElementById("idle");
  const left = document.getElementById("idle-left");
  let began = Date.now();
  const warnAt = Math.min(60, idleSeconds / 2);
  setInterval(() => {
    const rest = Math.ceil(idleSeconds - (Date.now() - began) / 1000);
    box.hidden = rest > warnAt;
    left.textContent = String(Math.max(rest, 0));
    if (rest <= 0) window.location.assign("/sign-in?why=ended");
  }, 1000);
  document.getElementById("idle-stay").addEventListener("click", async () => {
    const answer = await fetch("/session", { headers: { Accept: "application/json" } });
    if (answer.ok) began = Date.now();
  });
}
