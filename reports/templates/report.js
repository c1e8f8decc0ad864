"use strict";
(() => {
  const PER_PAGE = 20;
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // --- light and dark: the system's choice until a reader makes another ---

  const theme = $("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("prereg-theme"); } catch { /* a file may have no storage */ }

  function paint() {
    const dark = chosen ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    theme.setAttribute("aria-pressed", String(dark));
  }
  theme.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("prereg-theme", chosen); } catch { /* it then lasts as long as the page */ }
    paint();
  });
  system.addEventListener("change", paint);
  theme.hidden = false;
  paint();

  // --- tables: a header sorts by its column, unknown values last either way ---

  function sortKey(row, column) {
    const cell = row.cells[column];
    const text = cell ? cell.dataset.v ?? cell.textContent.trim() : "";
    if (text === "") return null;
    const found = /^[<>≤≥]?\s*([+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w.])/.exec(text);
    return found ? Number(found[1].replace("−", "-").replaceAll(",", "")) : text;
  }

  function compare(a, b) {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  }

  function sort(table, header, column) {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of all("th", table.tHead)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, place) => ({ row, place, key: sortKey(row, column) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
      const order = compare(a.key, b.key);
      return (down ? -order : order) || a.place - b.place;
    });
    body.append(...rows.map((each) => each.row));
  }

  for (const table of all("table.sortable")) {
    all("th", table.tHead).forEach((header, column) => {
      if ("fixed" in header.dataset) return;
      const button = make("button", "sort");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, header, column));
      header.append(button);
    });
  }

  // --- the completions browser ---

  const COLUMNS = ["measure", "arm", "persona", "question", "at"];
  const [K, HIT, CUT, LENGTH, PARTS] = [5, 6, 7, 8, 9];

  function words(parts) {
    return parts.map((part) => (typeof part === "string" ? part : Array.isArray(part) ? part[0] : "\n")).join("");
  }

  function head(data, row) {
    const line = make("p", "head");
    line.append(make("span", row[HIT] ? "chip hit" : "chip miss", row[HIT] ? "✓ hit" : "✗ miss"));
    if (row[CUT]) line.append(make("span", "chip open", "cut off by the length limit"));
    const place = ["arm", "persona", "at"].map((name) => data[name][row[COLUMNS.indexOf(name)]]).filter(Boolean);
    const who = make("strong", "", place[0] || "");
    who.dir = "auto";
    line.append(who, make("span", "", place.slice(1).join(" · ")));
    line.append(make("span", "quiet", `no. ${row[K] + 1}, ${row[LENGTH].toLocaleString("en")} characters`));
    return line;
  }

  function stands(data, dim, name) {
    const texts = data.texts[dim] || {};
    return Object.hasOwn(texts, name) ? texts[name] : ""; // a persona may be called "constructor"
  }

  function asked(data, row) {
    const name = data.question[row[3]];
    const line = make("p", "asked", `Asked: ${stands(data, "question", name) || name}`);
    const system = stands(data, "persona", data.persona[row[2]]);
    if (system) line.append(make("span", "quiet", ` System prompt: ${system}`));
    return line;
  }

  function said(row) {
    const block = make("pre");
    block.dir = "auto";
    if (!row[PARTS].length) block.append(make("em", "", "(empty)"));
    for (const part of row[PARTS]) {
      if (typeof part === "string") block.append(part);
      else if (Array.isArray(part)) block.append(make("mark", "", part[0]));
      else block.append(make("span", "gap", `\n[${part.toLocaleString("en")} characters are left out here]\n`));
    }
    return block;
  }

  function browse() {
    const data = JSON.parse($("data").textContent);
    const form = $("filters");
    const list = $("list");
    const lowered = new Map();
    let found = data.rows;
    let page = 0;

    function text(row) {
      if (!lowered.has(row)) lowered.set(row, words(row[PARTS]).toLowerCase());
      return lowered.get(row);
    }

    function fits(row, wanted, needle) {
      if (COLUMNS.some((name, column) => wanted[name] && Number(wanted[name]) !== row[column])) return false;
      if (wanted.hit === "cut" ? !row[CUT] : wanted.hit && Number(wanted.hit) !== row[HIT]) return false;
      return !needle || text(row).includes(needle);
    }

    function show() {
      const pages = Math.max(Math.ceil(found.length / PER_PAGE), 1);
      page = Math.min(Math.max(page, 0), pages - 1);
      const start = page * PER_PAGE;
      const rows = found.slice(start, start + PER_PAGE);
      list.replaceChildren(...rows.map((row) => {
        const item = make("li", row[HIT] ? "hit" : "miss");
        item.append(head(data, row), asked(data, row), said(row));
        return item;
      }));
      list.start = start + 1;
      // aria-disabled and not disabled: a button that vanishes from the tab order under a finger loses the place.
      $("previous").setAttribute("aria-disabled", String(page === 0));
      $("next").setAttribute("aria-disabled", String(page === pages - 1));
      const of = found.length === data.rows.length ? "" : ` (of ${data.rows.length.toLocaleString("en")} on this page)`;
      $("where").textContent = rows.length
        ? `${start + 1}–${start + rows.length} of ${found.length.toLocaleString("en")}${of}`
        : `None of ${data.rows.length.toLocaleString("en")} fits`;
    }

    function filter() {
      const wanted = Object.fromEntries(new FormData(form));
      const needle = wanted.text.toLowerCase();
      found = data.rows.filter((row) => fits(row, wanted, needle));
      page = 0;
      show();
    }

    let waiting = 0;
    const soon = () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); };
    form.addEventListener("input", soon);
    form.addEventListener("change", soon); // some browsers send nothing else for a list
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    const turn = (by) => { page += by; show(); };
    $("previous").addEventListener("click", () => turn(-1));
    $("next").addEventListener("click", () => turn(1));
    for (const node of [form, list, $("where").parentElement]) node.hidden = false;
    filter(); // a reload may have kept what was typed
  }
  if ($("data")) browse();

  // --- the graph: a chosen box marks what it stands on ---

  const boxes = new Map(all("#graph a").map((node) => [node.dataset.id, node]));

  function mark(id) {
    const behind = new Set();
    const stack = id === null ? [] : [id];
    while (stack.length) {
      const next = stack.pop();
      if (behind.has(next)) continue;
      behind.add(next);
      stack.push(...boxes.get(next).dataset.inputs.split(" ").filter(Boolean));
    }
    $("graph").classList.toggle("chosen", id !== null);
    for (const [key, node] of boxes) node.classList.toggle("on", behind.has(key));
    for (const path of all("#graph path")) path.classList.toggle("on", behind.has(path.dataset.to));
  }
  for (const [id, node] of boxes) {
    node.addEventListener("click", () => { $("artifacts").open = true; });
    node.addEventListener("focus", () => mark(id));
    node.addEventListener("blur", () => mark(null));
    node.addEventListener("mouseenter", () => mark(id));
    node.addEventListener("mouseleave", () => mark(null));
  }

  // --- copying ---

  function select(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = $(button.dataset.copies);
      let done = true;
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        select(source);
        done = document.execCommand("copy");
      }
      $("copied").textContent = done ? "Copied." : "Marked; copy it with the keyboard.";
      button.textContent = done ? "Copied" : "Marked";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // --- printing: everything that is folded is opened, and folded again after ---

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const node of folded) node.open = true;
  });
  addEventListener("afterprint", () => { for (const node of folded) node.open = false; });
})();
