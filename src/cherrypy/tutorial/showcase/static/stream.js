// Shows the lines of /stream/lines as they arrive, not when they are all there.
"use strict";

const list = document.getElementById("lines");
const state = document.getElementById("state");
const start = document.getElementById("start");

function add(line) {
  const item = document.createElement("li");
  const [, number, seconds, fruit] = /^\s*(\d+)\s+([\d.]+ s)\s+(.*)$/.exec(line) || [null, "", "", line];
  for (const [name, text] of [["number", number], ["seconds", seconds], ["fruit", fruit]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part);
  }
  list.append(item);
}

async function watch() {
  start.disabled = true;
  list.replaceChildren();
  const began = performance.now();
  try {
    const response = await fetch("/stream/lines");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", pieces = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) { break; }
      pieces += 1;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      lines.forEach(add);
      state.textContent = list.children.length + " lines in " + pieces + " pieces";
    }
    state.textContent += ", " + ((performance.now() - began) / 1000).toFixed(1) + " s from first to last";
  } catch (error) {
    state.textContent = "The stream broke: " + error.message;
  }
  start.disabled = false;
}

start.addEventListener("click", watch);
watch();
