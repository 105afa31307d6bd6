// A live marble diagram: lanes of marbles that move from the right to the left as time passes.

const MARBLE = 11;  // px

/** Lanes on a canvas. `add(lane, text)` puts a marble at the present; with `{gap: true}` it is a hole, above the line. */
export class Lanes {
  constructor(canvas, names, seconds) {
    Object.assign(this, { canvas, names, seconds, marbles: [], stopped: null });
    requestAnimationFrame(() => this.#frame());
  }

  add(lane, text, { color, gap = false } = {}) {
    this.marbles.push({ lane, text: String(text), color, gap, at: performance.now() });
  }

  /** Stand still while nothing can arrive. */
  stop() { this.stopped ??= performance.now(); }

  go() {
    if (this.stopped === null) return;
    const gone = performance.now() - this.stopped;
    for (const marble of this.marbles) marble.at += gone;
    this.stopped = null;
  }

  #frame() {
    this.#draw(this.stopped ?? performance.now());
    requestAnimationFrame(() => this.#frame());
  }

  #draw(now) {
    const { canvas, names, seconds } = this, scale = devicePixelRatio;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale))
      Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    const context = canvas.getContext("2d"), style = getComputedStyle(canvas);
    const ink = (name) => style.getPropertyValue(name);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.textBaseline = "middle";
    const left = 76, y = (lane) => height * (lane + .6) / names.length;
    names.forEach((name, lane) => {
      context.font = "12px system-ui, sans-serif";
      context.textAlign = "left";
      context.fillStyle = style.color;
      context.fillText(name, 0, y(lane));
      context.strokeStyle = context.fillStyle = ink("--soft");
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(left, y(lane));
      context.lineTo(width - 2, y(lane));
      context.moveTo(width - 8, y(lane) - 4);
      context.lineTo(width - 2, y(lane));
      context.lineTo(width - 8, y(lane) + 4);
      context.stroke();
    });
    const speed = Math.max(width - left, 330) / seconds;  // px/s: on a narrow canvas, fewer seconds
    const x = (at) => width - MARBLE - 10 - speed * (now - at) / 1000;
    this.marbles = this.marbles.filter(({ at }) => x(at) > left);
    context.textAlign = "center";
    for (const { lane, text, color, gap, at } of this.marbles) {
      context.font = `${text.length > 2 ? 10 : 12}px ui-monospace, monospace`;
      const wide = Math.max(MARBLE, context.measureText(text).width / 2 + 5);
      context.globalAlpha = Math.min(1, (x(at) - left) / 24);
      context.fillStyle = gap ? ink("--bad") : color ?? ink("--accent");
      // A hole stands above the line, before what was read behind it.
      const [middle, half, round] = gap ? [y(lane) - 22, 8, 3] : [y(lane), MARBLE, MARBLE];
      context.beginPath();
      context.roundRect(x(at) - wide, middle - half, wide * 2, half * 2, round);
      context.fill();
      context.fillStyle = ink("--card");
      context.fillText(text, x(at), middle + .5);
      context.globalAlpha = 1;
    }
  }
}
