// Sorting, filters, tooltips and copying: conveniences. The page says all it has to say without.
"use strict";
{
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const words = new Intl.Collator("en", { numeric: true });
  const text = (cell) => cell.textContent.trim();

  // Sorting: ascending, descending, as compiled. What is no number stays at the end.
  const keyOf = (cell, numeric) => {
    if ("sort" in cell.dataset) return Number(cell.dataset.sort);
    if (!numeric) return text(cell) === "\u2013" ? "" : text(cell);
    return Number.parseFloat(text(cell).replace(/,/g, "").replace("\u2212", "-"));
  };
  const nothing = (key) => key === "" || Number.isNaN(key);
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : words.compare(a, b));
  const sortable = (table) => {
    const body = table.tBodies[0];
    const compiled = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "" }[head.getAttribute("aria-sort")];
        const order = next ?? "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (order) head.setAttribute("aria-sort", order);
        const numeric = head.classList.contains("number");
        const keyed = compiled.map((row) => [keyOf(row.cells[column], numeric), row]);
        const sign = order === "descending" ? -1 : 1;
        if (order)
          keyed.sort(([a], [b]) => nothing(a) - nothing(b) || (nothing(a) ? 0 : sign * compare(a, b)));
        body.append(...keyed.map(([, row]) => row));
      });
    });
  };

  // Filters: a field has one chosen value, for all tables that show the field.
  const chosen = new Map();
  const filtered = [];
  const apply = (used) => {
    for (const { table, columns, status, selects } of filtered) {
      const rows = [...table.tBodies[0].rows];
      for (const row of rows)
        row.hidden = columns.some(([field, column]) => chosen.get(field) && text(row.cells[column]) !== chosen.get(field).value);
      const seen = rows.filter((row) => !row.hidden).length;
      status.setAttribute("aria-live", table === used ? "polite" : "off");
      status.textContent = `${seen} of ${rows.length} rows`;
      selects.forEach((select, field) => (select.selectedIndex = chosen.get(field)?.index ?? 0));
    }
  };
  const values = new Map();
  for (const table of document.querySelectorAll("table:has([data-filter])")) {
    const heads = [...table.tHead.rows[0].cells];
    const columns = heads.flatMap((head, column) => ("filter" in head.dataset ? [[text(head), column]] : []));
    for (const [field, column] of columns) {
      if (!values.has(field)) values.set(field, new Set());
      for (const row of table.tBodies[0].rows) values.get(field).add(text(row.cells[column]));
    }
    filtered.push({ table, columns, status: make("output", {}), selects: new Map() });
  }
  for (const { table, columns, status, selects } of filtered) {
    const bar = make("div", { class: "filters", role: "group", "aria-label": "Rows to show" });
    for (const [field] of columns) {
      const all = [...values.get(field)].sort(words.compare);
      if (all.length < 2 || table.tBodies[0].rows.length < 5) continue;
      const select = make("select", { "aria-label": field }, make("option", {}, "all"), ...all.map((value) => make("option", {}, value || "(empty)")));
      select.addEventListener("change", () => {
        const index = select.selectedIndex;
        chosen.set(field, index ? { index, value: all[index - 1] } : null);
        apply(table);
      });
      selects.set(field, select);
      bar.append(make("label", {}, `${field} `, select));
    }
    bar.append(status);
    if (selects.size) table.parentElement.before(bar);
  }
  apply();
  for (const table of document.querySelectorAll("table")) if (table.tBodies[0].rows.length > 1) sortable(table);

  // Tooltips: by pointer, by tap, and by arrow keys inside a figure, which is one tab stop.
  const tip = make("div", { class: "tip", "aria-hidden": "true" });
  tip.hidden = true;
  document.body.append(tip);
  let shown = null;
  const show = (mark) => {
    shown = mark;
    tip.textContent = mark.getAttribute("aria-label");
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const left = box.left + box.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${box.top > tip.offsetHeight + 12 ? box.top - tip.offsetHeight - 8 : box.bottom + 8}px`;
  };
  const hide = () => {
    shown = null;
    tip.hidden = true;
  };
  for (const picture of document.querySelectorAll("figure svg")) {
    const marks = [...picture.querySelectorAll("g > title")].map((title) => {
      const mark = title.parentElement;
      mark.setAttribute("aria-label", title.textContent);
      title.remove();
      return mark;
    });
    if (!marks.length) continue;
    picture.setAttribute("role", "group");
    marks.forEach((mark, index) => {
      mark.setAttribute("role", "img");
      mark.setAttribute("tabindex", index ? -1 : 0);
      for (const name of ["pointerenter", "focus", "click"]) mark.addEventListener(name, () => show(mark));
      for (const name of ["pointerleave", "blur"]) mark.addEventListener(name, hide);
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = marks[(index + step + marks.length) % marks.length];
        mark.setAttribute("tabindex", -1);
        next.setAttribute("tabindex", 0);
        next.focus();
      });
    });
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("scroll", () => shown && show(shown), { capture: true, passive: true });

  // Copying, where the browser allows it.
  for (const code of navigator.clipboard ? document.querySelectorAll(".code") : []) {
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      const done = navigator.clipboard.writeText(code.querySelector("code").textContent);
      button.textContent = await done.then(() => "Copied", () => "Not allowed");
    });
    code.append(button);
  }

  // The part being read is marked in the contents.
  const links = new Map([...document.querySelectorAll("nav.side a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main > section").forEach((section) => watch.observe(section));

  // On paper nothing is folded away.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("main details:not([open])")];
    folded.forEach((details) => (details.open = true));
  });
  addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
}
