// The page of all metrics: what is typed is looked for at once.

export function search(say) {
  const field = document.getElementById("sought");
  if (!field) return;
  const rows = [...document.querySelectorAll(".metrics tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const found = document.getElementById("found");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      if (!row.hidden) count += 1;
    });
    for (const section of document.querySelectorAll("main section"))
      section.hidden = !section.querySelector("tbody tr:not([hidden])");
    document.getElementById("none").hidden = count > 0;
    found.textContent = `${count} of ${rows.length} metrics`;
    const query = new URLSearchParams(location.search);
    if (field.value) query.set("q", field.value);
    else query.delete("q");
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  });
  field.form.addEventListener("submit", (event) => {
    event.preventDefault();
    document.querySelector(".metrics tbody tr:not([hidden]) a")?.focus();
    say(found.textContent);
  });
}
