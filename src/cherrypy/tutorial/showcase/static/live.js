// Asks /live/now twice a second and draws what it says.
"use strict";

const STEPS = 120;
const rates = [];
let last = null;

function put(id, text) { document.getElementById(id).textContent = text; }

function draw() {
  const peak = Math.max(10, ...rates);
  const points = rates.map((rate, i) => (600 - (rates.length - 1 - i) * (600 / (STEPS - 1))).toFixed(1) + "," + (154 - 144 * rate / peak).toFixed(1));
  document.getElementById("line").setAttribute("points", points.join(" "));
  const left = points.length ? points[0].split(",")[0] : 600;
  document.getElementById("area").setAttribute("points", left + ",160 " + points.join(" ") + " 600,160");
  put("peak", "peak " + Math.max(0, ...rates).toFixed(0));
}

async function ask() {
  try {
    const now = await (await fetch("/live/now", { cache: "no-store" })).json();
    const at = performance.now();
    if (last) {
      rates.push((now.asked - last.asked) / ((at - last.at) / 1000));
      if (rates.length > STEPS) { rates.shift(); }
      put("rate", rates[rates.length - 1].toFixed(0));
      draw();
    }
    last = { asked: now.asked, at };
    put("threads", now.threads);
    put("memory", now.memory ? (now.memory / 1048576).toFixed(1) + " MB" : "unknown");
    put("cpu", now.cpu.toFixed(2) + " s");
    put("uptime", now.uptime < 120 ? now.uptime.toFixed(0) + " s" : (now.uptime / 60).toFixed(0) + " min");
  } catch (error) {
    put("rate", "no answer");
  }
  setTimeout(ask, 500);
}

document.getElementById("burst").addEventListener("click", async (event) => {
  event.target.disabled = true;
  const started = performance.now();
  let left = 500;
  const worker = async () => { while (left > 0) { left -= 1; await (await fetch("/live/now", { cache: "no-store" })).arrayBuffer(); } };
  await Promise.all([worker(), worker(), worker(), worker(), worker(), worker()]);
  put("took", "500 answers in " + ((performance.now() - started) / 1000).toFixed(2) + " s");
  event.target.disabled = false;
});

ask();
