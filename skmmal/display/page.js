"use strict";
function value(row, i) {
  const cell = row.cells[i], key = cell.dataset.key;
  return key === undefined ? cell.textContent.trim() : Number(key);
}

function compare(a, b) {
  const blankA = a === "", blankB = b === "";
  if (blankA || blankB) return blankA - blankB;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], given = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.title = "sort";
    button.onclick = () => {
      const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")] ?? "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const blank = (row) => value(row, i) === "";
      const rows = next ? [...given].sort((a, b) =>
        blank(a) || blank(b) ? blank(a) - blank(b) : sign * compare(value(a, i), value(b, i))) : given;
      body.append(...rows);
    };
  });
  const frame = table.parentElement, tools = frame.previousElementSibling, search = tools.querySelector("input");
  if (search) search.oninput = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const row of given) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      n += !row.hidden;
    }
    tools.querySelector("span").textContent = words.length ? n + " of " + given.length + " rows" : "";
  };
  const fit = () => {
    frame.classList.remove("stacked");
    frame.classList.toggle("stacked", table.offsetWidth > frame.clientWidth);
  };
  fit();
  let width = frame.clientWidth;
  addEventListener("resize", () => { if (frame.clientWidth !== width) { width = frame.clientWidth; fit(); } });
}

for (const button of document.querySelectorAll(".series button")) button.onclick = () => {
  const shown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(shown));
  for (const id of button.dataset.series.split(" ")) {
    const part = document.getElementById(id);
    if (part) part.style.display = shown ? "" : "none";
  }
};
