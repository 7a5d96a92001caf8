// The page comes to life: figures each second, charts and tables every few, actions without leaving.

import { draw, isZoomed, redraw, watchSize } from "./charts.js";
import { localise, said as moment, show } from "./format.js";
import { morph } from "./morph.js";
import { search } from "./search.js";

const { base, board, refresh } = document.body.dataset;
const token = document.querySelector('meta[name="kirsch-token"]')?.content ?? "";
const said = document.getElementById("said");
const state = document.getElementById("state");
const dot = document.querySelector(".dot");
let paused = false;
let listening = true; // the server answers
let live = true; // and tells each second

function say(words) {
  said.textContent = words;
}

// -- each second --------------------------------------------------------------------------------

// How bad a figure is; `pages.py` says it alike.
const limits = { errors: [5, 1, 1], apdex: [-0.7, -0.85, -1] };

function mood(cell, key, value) {
  if (!limits[key]) return;
  const [bad, warn, sign] = limits[key];
  const known = value !== null && value !== undefined;
  const worst = known && value * sign >= bad && (sign > 0 || value < -bad);
  const poor = known && !worst && value * sign >= warn && (sign > 0 || value < -warn);
  cell.classList.toggle("bad", worst);
  cell.classList.toggle("warn", poor);
}

function figures(now) {
  for (const one of document.querySelectorAll("[data-figure]")) {
    const text = show(now[one.dataset.figure], one.dataset.unit);
    if (one.textContent !== text) one.textContent = text;
    mood(one.parentElement, one.dataset.figure, now[one.dataset.figure]);
  }
  state.textContent = moment(now.at, "clock");
  dot.className = "dot on beat";
  setTimeout(() => dot.classList.remove("beat"), 300);
  document.body.dataset.beats = String(Number(document.body.dataset.beats ?? 0) + 1);
}

// As many pages listen as may, or nobody is let in any more: there are figures still, or a place to log in.
async function askOnce() {
  try {
    const answer = await fetch(`${base}/api/now`, { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.reload();
    if (!answer.ok) return;
    listening = true;
    say("Too many pages are open: the figures come every five seconds here.");
    if (!paused) figures(await answer.json());
  } catch {
    // The connection is lost, as is said.
  }
}

function listen() {
  const source = new EventSource(`${base}/live`);
  source.addEventListener("now", (event) => {
    if (!live) say("");
    live = listening = true;
    if (!paused) figures(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    dot.className = "dot off";
    if (live) say("The connection is lost; trying again.");
    live = listening = false;
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(listen, 5000);
      askOnce();
    }
  });
}

// -- every few seconds ---------------------------------------------------------------------------

async function charts() {
  if (!document.querySelector("figure.chart")) return;
  const query = new URLSearchParams(location.search);
  query.set("board", board || "overview");
  const answer = await fetch(`${base}/api/board?${query}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`charts: ${answer.status}`);
  draw(await answer.json());
}

async function page() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.status === 401) location.reload();
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = fresh.getElementById("main");
  localise(fresh);
  if (main) morph(document.getElementById("main"), main);
}

async function update() {
  if (paused || document.hidden || isZoomed() || !listening) return;
  try {
    await page();
    await charts();
  } catch {
    // The stream says that the connection is lost.
  }
}

async function keepUp() {
  const seconds = Number(refresh) || 0;
  if (!seconds) return;
  await update();
  setTimeout(keepUp, seconds * 1000);
}

// -- what the reader does ------------------------------------------------------------------------

document.getElementById("pause")?.addEventListener("click", (event) => {
  paused = !paused;
  event.currentTarget.setAttribute("aria-pressed", String(paused));
  say(paused ? "The page stands still." : "");
  if (!paused) update();
});

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = dark ? ["", "light", "dark"] : ["", "dark", "light"];
  const next = order[(order.indexOf(root.dataset.theme ?? "") + 1) % 3];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try {
    if (next) localStorage.setItem("kirsch-theme", next);
    else localStorage.removeItem("kirsch-theme");
  } catch {
    // It lasts as long as this page does.
  }
  say(next ? `The ${next} theme.` : "The theme of the system.");
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const into = form.dataset.into;
  if (!into) return;
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  say("Waiting for an answer …");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "application/json", "X-Kirsch-Token": token },
    });
    const told = await answer.json();
    if (told.html) {
      // Made and escaped by the server, as the rest of the page.
      const fresh = new DOMParser().parseFromString(told.html, "text/html");
      localise(fresh);
      document.getElementById(into).replaceChildren(...fresh.body.childNodes);
      say("");
    } else say(told.said ?? told.error ?? "");
  } catch {
    say("No answer came.");
  } finally {
    button.disabled = false;
  }
});

// Ranges and orders keep the place on the page.
addEventListener("pagehide", () => {
  try {
    sessionStorage.setItem("kirsch-place", JSON.stringify([location.pathname, scrollY]));
  } catch {
    // Then the page begins at its top.
  }
});

function comeBack() {
  try {
    const [path, top] = JSON.parse(sessionStorage.getItem("kirsch-place") ?? "[]");
    if (path === location.pathname && location.search) scrollTo(0, top);
  } catch {
    // As above.
  }
}

localise(document);
// Where the navigation is a strip, what is shown is seen in it.
const strip = document.querySelector("nav");
const current = strip.querySelector("[aria-current]");
if (current) strip.scrollLeft = current.offsetLeft - (strip.clientWidth - current.clientWidth) / 2;
// Of what is wider than the screen the last is what matters.
for (const one of document.querySelectorAll(".heat-map")) one.parentElement.scrollLeft = one.parentElement.scrollWidth;
search(say);
watchSize();
listen();
function begin() {
  charts().then(comeBack, () => setTimeout(begin, 2000));
}
begin();
if (Number(refresh)) setTimeout(keepUp, Number(refresh) * 1000);
