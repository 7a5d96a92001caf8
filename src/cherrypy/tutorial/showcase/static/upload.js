// Sends the chosen file as the body of a PUT and shows how far it is; without this file the form posts it the old way.
"use strict";

const form = document.getElementById("upload");
const file = document.getElementById("file");
const drop = document.getElementById("drop");
const progress = document.getElementById("progress");
const figures = document.getElementById("figures");
const result = document.getElementById("result");
const send = document.getElementById("send");

function size(bytes) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let step = 0;
  while (bytes >= 1000 && step < units.length - 1) { bytes /= 1000; step += 1; }
  return (step ? bytes.toFixed(1) : bytes) + " " + units[step];
}

function show(facts) {
  const list = document.createElement("dl");
  list.className = "result facts";
  for (const [name, value] of facts) {
    const term = document.createElement("dt");
    const data = document.createElement("dd");
    term.textContent = name;
    data.textContent = value;
    list.append(term, data);
  }
  result.replaceChildren(list);
}

function choose() {
  document.getElementById("chosen").textContent =
    file.files.length ? file.files[0].name + ", " + size(file.files[0].size) : "Drop a file here, or choose one";
}

file.addEventListener("change", choose);
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) { file.files = event.dataTransfer.files; choose(); }
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = file.files[0];
  const request = new XMLHttpRequest();
  const started = performance.now();
  send.disabled = true;
  result.replaceChildren();
  request.upload.addEventListener("progress", (step) => {
    if (!step.lengthComputable) { return; }
    const seconds = (performance.now() - started) / 1000;
    progress.value = step.total ? step.loaded / step.total : 1;
    figures.textContent = size(step.loaded) + " of " + size(step.total) + ", " + size(Math.round(step.loaded / seconds)) + " a second";
  });
  request.addEventListener("loadend", () => {
    send.disabled = false;
    if (request.status !== 200) { figures.textContent = "It did not arrive: " + (request.statusText || "the connection was lost") + "."; return; }
    const answer = JSON.parse(request.responseText);
    progress.value = 1;
    figures.textContent = "Arrived.";
    show([["File", answer.name], ["Bytes the server counted", answer.size.toLocaleString("en")], ["SHA-256", answer.sha256], ["Seconds to read", answer.seconds]]);
  });
  request.open("PUT", "/upload/stream?name=" + encodeURIComponent(chosen.name));
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(chosen);
});
