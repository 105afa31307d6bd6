// Tables that change in place: a row keeps its element, so that the focus and a selection stay where they are.

/**
 * Show rows.
 *
 * `columns` are `{title, number, cell(row, td)}`: `cell` returns text, or fills the cell itself and returns nothing.
 * `key` names a row; `level` gives it a class; `empty` is said where there is none.
 */
export function show(table, columns, rows, { key, level = () => "", empty }) {
  if (!table.tHead) begin(table, columns);
  const body = table.tBodies[0];
  const known = new Map([...body.rows].filter((tr) => tr.dataset.key !== undefined).map((tr) => [tr.dataset.key, tr]));
  const seen = new Set();
  let place = null;
  for (const row of rows) {
    const name = String(key(row));
    if (seen.has(name)) continue;
    seen.add(name);
    const tr = known.get(name) ?? make(columns, name);
    tr.row = row;
    set(tr, "className", level(row));
    columns.forEach((column, index) => fill(tr.cells[index], column, row));
    const next = place ? place.nextSibling : body.firstChild;
    if (next !== tr) body.insertBefore(tr, next);
    place = tr;
  }
  for (const [name, tr] of known) if (!seen.has(name)) tr.remove();
  const note = table.caption;
  note.textContent = rows.length ? "" : empty;
  note.hidden = rows.length > 0;
  table.tHead.hidden = !rows.length;
}

function begin(table, columns) {
  table.createCaption();
  const head = table.createTHead().insertRow();
  for (const { title, number, kind } of columns) {
    const th = document.createElement("th");
    th.scope = "col";
    th.textContent = title;
    th.className = [number ? "number" : "", kind ?? ""].join(" ").trim();
    head.append(th);
  }
  table.createTBody();
}

function make(columns, name) {
  const tr = document.createElement("tr");
  tr.dataset.key = name;
  for (const { title, number, kind } of columns) {
    const td = tr.insertCell();
    td.dataset.title = title;
    td.className = [number ? "number" : "", kind ?? ""].join(" ").trim();
  }
  return tr;
}

function fill(td, column, row) {
  const text = column.cell(row, td);
  if (text !== undefined) set(td, "textContent", String(text));
  const seen = [...td.childNodes].filter((node) => !node.hidden);
  // A cell that says nothing is left out by a narrow page.
  td.classList.toggle("nil", column.kind !== "spark" && seen.every((node) => /^[0–]?$/.test(node.textContent)));
}

/** Assign a property, if that changes it: an assignment of the same text would lose a selection. */
export function set(element, name, value) {
  if (element[name] !== value) element[name] = value;
}

/** The child of a cell with a class, made at the first time: `part(td, "small", "span")`. */
export function part(parent, name, tag = "span") {
  const found = [...parent.children].find((child) => child.dataset.part === name);
  if (found) return found;
  const made = document.createElement(tag);
  made.dataset.part = name;
  made.classList.add(...name.split(" "));
  parent.append(made);
  return made;
}

/** A part with text, hidden without. */
export function say(parent, name, text, tag) {
  const found = part(parent, name, tag);
  set(found, "textContent", text ?? "");
  set(found, "hidden", !text);
  return found;
}

/** A button in a cell, made once; `press` gets the row as it is when it is pressed. */
export function button(td, name, text, press, shown = true) {
  const made = part(td, name, "button");
  if (!made.onclick) {
    made.type = "button";
    made.onclick = () => press(made.closest("tr").row);
  }
  set(made, "textContent", text);
  set(made, "hidden", !shown);
  return made;
}
