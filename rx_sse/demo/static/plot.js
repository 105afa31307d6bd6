// A line of the newest readings.

const POINTS = 120;

/** A plot on a canvas; `push(value)` adds the newest. */
export class Plot {
  constructor(canvas, ceiling) {
    Object.assign(this, { canvas, ceiling, values: [] });
  }

  push(value) {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
    this.#draw();
  }

  #draw() {
    const { canvas, values } = this, scale = devicePixelRatio;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), most = this.ceiling ?? Math.max(1, ...values);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = getComputedStyle(canvas).getPropertyValue("--accent");
    context.lineWidth = 1.5 * scale;
    context.lineJoin = "round";
    context.beginPath();
    // The newest reading is at the right end.
    const x = (index) => width * (POINTS - values.length + index) / (POINTS - 1);
    values.forEach((value, index) => {
      const y = height - 2 * scale - (height - 4 * scale) * value / most;
      index ? context.lineTo(x(index), y) : context.moveTo(x(index), y);
    });
    context.stroke();
    context.lineTo(x(values.length - 1), height);
    context.lineTo(x(0), height);
    context.globalAlpha = .14;
    context.fillStyle = context.strokeStyle;
    context.fill();
    context.globalAlpha = 1;
  }
}
