// Figures as people read them; `units.py` says it alike.

const SPACE = "\u202f";
const NONE = "–";
const BYTES = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
const COUNTS = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];

export function digits(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return Math.round(value).toLocaleString("en").replaceAll(",", SPACE);
  if (size >= 9.995) return trim(value.toFixed(1));
  if (size >= 0.995 || size === 0) return trim(value.toFixed(2));
  return size >= 0.0005 ? String(Number(value.toPrecision(2))) : value.toExponential(1);
}

function trim(text) {
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

function scaled(value, steps, plain) {
  for (const [step, name] of steps)
    if (Math.abs(value) >= step * 0.9995) return digits(value / step) + SPACE + name;
  return plain ? digits(value) + SPACE + plain : digits(value);
}

function seconds(value) {
  const size = Math.abs(value);
  if (size === 0) return "0" + SPACE + "ms";
  if (size < 0.0009995) return digits(value * 1e6) + SPACE + "µs";
  if (size < 0.9995) return digits(value * 1e3) + SPACE + "ms";
  if (size < 120) return digits(value) + SPACE + "s";
  const whole = Math.round(value);
  for (const [name, length, less, part] of [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]])
    if (whole >= length * 2 || (whole >= length && name !== "min")) {
      const rest = Math.floor((whole % length) / part);
      const text = Math.floor(whole / length) + SPACE + name;
      return rest ? `${text} ${rest}${SPACE}${less}` : text;
    }
  return whole + SPACE + "s";
}

export function show(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (unit === "s") return seconds(value);
  if (unit === "By" || unit === "By/s") return scaled(value, BYTES, "B") + unit.slice(2);
  if (unit === "%") return (value > 0 && value < 0.01 ? `<${SPACE}0.01` : digits(value)) + SPACE + "%";
  const text = Math.abs(value) >= 10000 ? scaled(value, COUNTS, "") : digits(value);
  return unit ? text + SPACE + unit : text;
}

const two = (value) => String(value).padStart(2, "0");
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// A moment by the reader's clock; the forms are those of `moments.py`.
export function said(at, form) {
  const date = new Date(at * 1000);
  const short = `${two(date.getHours())}:${two(date.getMinutes())}`;
  const clock = `${short}:${two(date.getSeconds())}`;
  const day = `${DAYS[date.getDay()]} ${two(date.getDate())} ${MONTHS[date.getMonth()]}`;
  if (form === "moment") return date.toDateString() === new Date().toDateString() ? clock : `${day} ${clock}`;
  return { clock, short, day, long: `${day} ${short}` }[form];
}

// Set what the server has said by its clock to the reader's.
export function localise(root) {
  for (const one of root.querySelectorAll("[data-at]")) {
    const { at, form, rest } = one.dataset;
    const text = said(Number(at), form) + (rest ?? "");
    if (one.textContent !== text) one.textContent = text;
  }
  const zone = root.querySelector("#zone");
  if (zone) zone.textContent = `times are those of ${Intl.DateTimeFormat().resolvedOptions().timeZone ?? "your clock"}`;
}
