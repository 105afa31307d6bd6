// Small charts, drawn as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120, HEIGHT = 30;

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** An empty chart; `draw` fills it. */
export function chart(kind = "") {
  const svg = element("svg", { class: `chart ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  svg.append(element("path", { class: "area" }), element("path", { class: "line" }), element("title", {}));
  return svg;
}

/**
 * Draw a series, the newest at the right; what is missing at the left stays empty.
 *
 * `points` is how many fit, `show` says a value in words.
 */
export function draw(svg, series, points, label, show) {
  const most = Math.max(...series, 0) || 1, from = points - series.length;
  const x = (index) => ((from + index + 1) / points) * WIDTH;
  const y = (value) => HEIGHT - 1 - (value / most) * (HEIGHT - 3);
  const line = series.map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("L");
  const [area, path, title] = svg.children;
  path.setAttribute("d", line && `M${line}`);
  area.setAttribute("d", line && `M${x(0).toFixed(1)} ${HEIGHT}L${line}L${WIDTH} ${HEIGHT}Z`);
  const text = series.length
    ? `${label}, last five minutes: ${show(Math.min(...series))} to ${show(Math.max(...series))}, now ${show(series.at(-1))}`
    : `${label}: no values yet`;
  svg.setAttribute("aria-label", text);
  title.textContent = text;
}

/** Bars for a distribution: rows of `[label, count, level]`. */
export function bars(parent, rows, show) {
  const most = Math.max(...rows.map(([, number]) => number), 1);
  while (parent.children.length < rows.length) {
    const row = document.createElement("div");
    row.append(...["span", "i", "b"].map((name) => document.createElement(name)));
    parent.append(row);
  }
  rows.forEach(([label, number, level], index) => {
    const row = parent.children[index], [name, bar, value] = row.children;
    name.textContent = label;
    value.textContent = show(number);
    bar.style.setProperty("--part", number / most);
    row.className = number ? level : "none";
  });
}
