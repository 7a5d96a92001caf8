// Two event streams: one tells prices, the other what people pin. A browser comes back to both by itself.
"use strict";

const part = (id) => document.getElementById(id);
const STEPS = 60, MOST = 12;
const tiles = new Map();

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function drawing(name, kind) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  if (kind) { made.setAttribute("class", kind); }
  return made;
}

function tile(fruit) {
  if (tiles.has(fruit)) { return tiles.get(fruit); }
  const box = element("div", "tile price " + fruit);
  const chart = drawing("svg");
  chart.setAttribute("viewBox", "0 0 120 30");
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("aria-hidden", "true");
  const line = drawing("polyline", "spark");
  chart.append(line);
  const amount = element("strong", "amount", "–"), change = element("small", "change");
  box.append(element("span", "", fruit), amount, change, chart);
  part("market").append(box);
  const made = { past: [], line, amount, change, box };
  tiles.set(fruit, made);
  return made;
}

function draw(one) {
  const { past } = one;
  const low = Math.min(...past), span = Math.max(...past) - low || 1;
  const step = 120 / (STEPS - 1), begin = 120 - (past.length - 1) * step;
  one.line.setAttribute("points", past.map((value, i) => (begin + i * step).toFixed(1) + "," + (27 - 24 * (value - low) / span).toFixed(1)).join(" "));
  const now = past[past.length - 1], change = now - past[0];
  one.amount.textContent = now.toFixed(2);
  one.change.textContent = (change < 0 ? "▾ " : "▴ ") + Math.abs(change).toFixed(2);
  one.box.classList.toggle("down", change < 0);
}

function market() {
  const source = new EventSource("/board/market");
  source.addEventListener("past", (event) => {
    for (const [fruit, past] of Object.entries(JSON.parse(event.data))) {
      const one = tile(fruit);
      one.past = past;
      draw(one);
    }
  });
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    for (const [fruit, price] of Object.entries(told.prices)) {
      const one = tile(fruit);
      one.past = [...one.past, price].slice(-STEPS);
      draw(one);
    }
    part("count").textContent = told.streams + " streams open";
  };
}

function add(id, note) {
  const tilt = ((id.length * 7 + note.text.length * 13 + Math.floor(note.at * 7)) % 50 - 25) / 10;
  const item = element("li", "note " + note.fruit);
  item.style.setProperty("--tilt", tilt + "deg");
  item.append(element("p", "text", note.text));
  item.append(element("time", "when", new Date(note.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
  part("notes").prepend(item);
  while (part("notes").children.length > MOST) { part("notes").lastChild.remove(); }
}

function notes() {
  const source = new EventSource("/board/notes");
  const show = (state, open) => {
    part("state").textContent = state;
    part("dot").classList.toggle("on", open);
    part("send").disabled = !open;
  };
  show("Connecting", false);
  source.onopen = () => show("Listening", true);
  source.onerror = () => show("Not connected, trying again", false);
  source.addEventListener("note", (event) => add(event.lastEventId, JSON.parse(event.data)));
}

part("pin").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/board/pin", { method: "POST", body: new URLSearchParams(new FormData(event.target)) });
  if (answer.ok) {
    const { readers } = await answer.json();
    part("sent").textContent = readers === 1 ? "Only you were told: nobody else is here." : "Pinned. " + readers + " browsers were told at once.";
    part("text").value = "";
  } else {
    part("sent").textContent = "The board did not take it (" + answer.status + ").";
  }
});

notes();
market();
