// Asks for a static file in the ways browsers do, and shows what came back.
"use strict";

const table = document.getElementById("asked");
const FILE = "/static/cherry.svg";

function row(question, answer) {
  const line = document.createElement("tr"), head = document.createElement("th"), data = document.createElement("td");
  head.scope = "row";
  head.textContent = question;
  data.textContent = answer;
  line.append(head, data);
  table.append(line);
}

async function ask() {
  table.replaceChildren();
  const whole = await fetch(FILE, { cache: "no-store" });
  const modified = whole.headers.get("Last-Modified");
  row("The file", whole.status + ", " + (await whole.arrayBuffer()).byteLength + " bytes, " + whole.headers.get("Content-Type"));
  const part = await fetch(FILE, { headers: { Range: "bytes=0-39" }, cache: "no-store" });
  row("Its first 40 bytes", part.status + ", " + part.headers.get("Content-Range"));
  const beyond = await fetch(FILE, { headers: { Range: "bytes=99999999-" }, cache: "no-store" });
  row("Bytes beyond its end", beyond.status + ", " + beyond.headers.get("Content-Range"));
  const again = await fetch(FILE, { headers: { "If-Modified-Since": modified }, cache: "no-store" });
  row("Only if changed since", again.status + ", " + (await again.arrayBuffer()).byteLength + " bytes");
  const head = await fetch(FILE, { method: "HEAD", cache: "no-store" });
  row("The head alone", head.status + ", Content-Length " + head.headers.get("Content-Length"));
}

document.getElementById("ask").addEventListener("click", ask);
ask();
