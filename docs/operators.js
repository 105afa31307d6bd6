// The picture of operators.md, drawn from operators-recordings.js, which the build of the site records.
// The rules of rx_sse/reactive/diagram.py: a value without room for its label is a dot.
"use strict";
{
  const root = document.getElementById("rx-operators");
  const { steps, operators, sources, hues } = globalThis.rxOperators;
  const select = root.querySelector("select");
  const range = root.querySelector("input[name=step]");
  const boxes = root.querySelector("fieldset");
  const TOP = 24, LANE = 52, RADIUS = 12, DOT = 4, WIDE = 560;

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const titled = (text, made) => (made.prepend(element("title", {}, text)), made);
  const cut = (label) => (label.length > 14 ? `${label.slice(0, 13)}…` : label);

  // The groups of the marbles: the keys of a stream, such as the A of A41.
  const group = (label) => (/^[A-Za-z]\d+$/.test(label) ? label[0] : "");

  function axis(frame, height) {
    const rough = frame.seconds / (frame.width < WIDE ? 4 : 8);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const marks = [];
    for (let number = 0; number * step <= frame.seconds + 1e-9; number += 1) {
      const x = frame.x(number * step);
      marks.push(element("line", { class: "grid", x1: x, x2: x, y1: 20, y2: height }));
      marks.push(element("text", { class: "soft", x, y: 13, "text-anchor": "middle" }, `${+(number * step).toFixed(6)} s`));
    }
    return marks;
  }

  function marbles(values, y, frame, colours) {
    let edge = -Infinity;
    const drawn = values.map(([at, , label], index) => {
      const x = frame.x(at), text = cut(label);
      const half = Math.max(RADIUS, 5 + 3.7 * text.length);
      const middle = Math.min(Math.max(x, frame.left + half - RADIUS), frame.width - half - 2);
      const next = index + 1 < values.length ? frame.x(values[index + 1][0]) : Infinity;
      const style = `--hue:${colours.get(group(label))}`;
      const title = `${at} s: ${label}`;
      if (middle - half > edge && middle + half < next - DOT) {
        edge = middle + half + 1;
        const box = { class: "marble", x: middle - half, y: y - RADIUS, rx: RADIUS, width: 2 * half, height: 2 * RADIUS, style };
        return element("g", {}, titled(title, element("rect", box)), element("text", { x: middle, y: y + 4, "text-anchor": "middle" }, text));
      }
      edge = Math.max(edge, x + DOT + 1);
      return titled(title, element("circle", { class: "dot", cx: x, cy: y, r: DOT, style }));
    });
    return [drawn, edge];
  }

  function lane({ name, marks }, y, frame, colours) {
    const values = marks.filter(([, kind]) => kind === "next");
    const [drawn, edge] = marbles(values, y, frame, colours);
    const last = marks.find(([, kind]) => kind === "completed" || kind === "error");
    const end = last ? Math.max(frame.x(last[0]), edge + 5) : frame.width - 2;
    const narrow = frame.width < WIDE;
    const count = `${values.length} value${values.length === 1 ? "" : "s"}`;
    const parts = [
      element("text", { class: "name", x: 0, y: narrow ? y - 20 : y + 1 }, name),
      element("text", narrow ? { class: "soft", x: frame.width, y: y - 20, "text-anchor": "end" } : { class: "soft", x: 0, y: y + 16 }, count),
      element("path", { class: "line", d: `M${frame.left} ${y}H${end}` }),
    ];
    if (!last) parts.push(element("path", { class: "line", d: `M${end - 6} ${y - 4}L${end} ${y}L${end - 6} ${y + 4}` }));
    else if (last[1] === "completed") parts.push(titled("completed", element("path", { class: "end", d: `M${end} ${y - 12}v24` })));
    else parts.push(titled(last[2], element("path", { class: "bad", d: `M${end} ${y - 7}l14 14m-14 0l14 -14` })));
    return [...parts, ...drawn];
  }

  function lanes() {
    const source = sources[select.selectedIndex];
    const chosen = [...boxes.querySelectorAll("input:checked")].map((box) => box.value);
    const found = chosen.map((name) => ({ name, marks: source.lanes[name][range.value] }));
    return [source, chosen, [{ name: "source", marks: source.own }, ...found]];
  }

  function draw() {
    const [source, chosen, all] = lanes();
    const time = `${steps[range.value]}`;
    root.querySelector("output").textContent = `${time} s`;
    const picture = root.querySelector(".rx-picture");
    const width = Math.max(picture.clientWidth, 240), narrow = width < WIDE;
    const left = narrow ? RADIUS : 24 + 7.4 * Math.max(...all.map(({ name }) => name.length));
    const room = width - left - 20;
    const frame = { width, left, seconds: source.seconds, x: (at) => left + (at / source.seconds) * room };
    const groups = new Set(all.flatMap(({ marks }) => marks.map(([, , label]) => group(label))));
    const colours = new Map([...groups].sort().map((name, index) => [name, hues[index % hues.length]]));
    const size = LANE + (narrow ? 10 : 0), height = TOP + size * all.length + 4;
    const label = `marble diagram of ${all.length} streams over ${source.seconds} seconds`;
    const image = element("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
    image.append(...axis(frame, height));
    all.forEach((one, index) => image.append(...lane(one, TOP + size * index + size / 2 + (narrow ? 12 : 4), frame, colours)));
    picture.replaceChildren(image);
    const pipes = chosen.map((name) => `source.pipe(${operators[name].replaceAll("SECONDS", time)})`);
    root.querySelector("code").textContent = [source.code, ...(pipes.length ? ["", ...pipes] : [])].join("\n");
    root.querySelector("tbody").replaceChildren(...all.map(({ name, marks }) => {
      const row = document.createElement("tr");
      row.insertCell().textContent = name;
      row.insertCell().textContent = marks.map(([at, kind, text]) => (kind === "next" ? `${text} at ${at} s` : `${kind} at ${at} s`)).join(", ");
      return row;
    }));
  }

  function choose() {
    const { shows } = sources[select.selectedIndex];
    for (const box of boxes.querySelectorAll("input")) box.checked = shows.includes(box.value);
    draw();
  }

  for (const { title } of sources) select.add(new Option(title));
  range.max = steps.length - 1;
  range.value = 2;
  for (const name of Object.keys(operators)) {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name });
    label.append(box, ` ${name}`);
    boxes.append(label);
  }
  root.hidden = false;
  select.addEventListener("change", choose);
  range.addEventListener("input", draw);
  boxes.addEventListener("change", draw);
  let drawn = 0;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    if (Math.round(width) !== drawn) draw();
    drawn = Math.round(width);
  }).observe(root.querySelector(".rx-picture"));
  choose();
}
