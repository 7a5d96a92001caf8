// One WebSocket: what others say is drawn, what is typed is sent. Comes back when the server does.
"use strict";

const FIRST = ["Sweet", "Sour", "Early", "Late", "Dark", "Golden", "Wild", "Ripe"];
const SECOND = ["Cherry", "Plum", "Sloe", "Apricot", "Damson", "Quince", "Medlar", "Mirabelle"];
const part = (id) => document.getElementById(id);
const talk = part("talk");
let socket = null, me = 0, tries = 0, known = "";

function pick(list) { return list[Math.floor(Math.random() * list.length)]; }

function show(state, open) {
  part("state").textContent = state;
  part("dot").classList.toggle("on", open);
  part("send").disabled = !open;
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function add(line) {
  const item = element("li", line.from === me ? "mine" : "theirs", "");
  item.style.setProperty("--hue", String((line.from * 67) % 360));
  const time = new Date(line.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  item.append(element("span", "name", line.from === me ? "You" : line.name));
  item.append(element("p", "text", line.text));
  item.append(element("time", "when", time));
  talk.append(item);
  while (talk.children.length > 200) { talk.firstChild.remove(); }
  talk.scrollTop = talk.scrollHeight;
}

function take(event) {
  const told = JSON.parse(event.data);
  if (told.you) { me = told.you; talk.replaceChildren(); told.past.forEach(add); }
  if (told.line) { add(told.line); }
  if (told.people) {
    part("count").textContent = told.count === 1 ? "only you here" : told.count + " people here";
    part("count").title = told.people.join(", ");
  }
}

function connect() {
  known = part("name").value;
  const mine = new WebSocket(location.origin.replace(/^http/, "ws") + "/chat/talk?name=" + encodeURIComponent(known));
  socket = mine;
  show("Connecting", false);
  mine.onopen = () => { tries = 0; show("Connected", true); };
  mine.onmessage = take;
  mine.onclose = () => {
    if (socket !== mine) { return; }
    show("Not connected, trying again", false);
    part("count").textContent = "";
    tries += 1;
    setTimeout(connect, Math.min(8000, 400 * 2 ** tries));
  };
}

function rename() {
  if (part("name").value === known) { return; }
  const old = socket;
  connect();
  old.close();
}

part("name").value = pick(FIRST) + " " + pick(SECOND);
part("name").addEventListener("change", rename);
part("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = part("text").value.trim();
  if (text && socket.readyState === WebSocket.OPEN) {
    socket.send(text);
    part("text").value = "";
  }
});
connect();
