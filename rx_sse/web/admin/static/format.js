// Numbers with their units, and times, in English.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** 12,345 */
export const count = (number) => (number == null ? "–" : whole.format(number));

/** 1 stream, 12,345 streams */
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** 3.4 per second; small ones are not rounded to nothing. */
export const rate = (number) => (number >= 1000 ? whole : short).format(number) + "/s";

/** 640 B, 12.3 kB, 4.1 MB */
export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 999.5 && unit < units.length - 1) (number /= 1000), unit++;
  return `${(unit ? short : whole).format(number)} ${units[unit]}`;
}

/** 400 ms, 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h */
export function span(seconds) {
  if (seconds < 0.9995) return seconds < 0.001 ? "0 s" : `${short.format(seconds * 1000)} ms`;
  const s = Math.round(seconds), parts = [];
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    const n = Math.floor(s / size) % (size === 86400 ? Infinity : size === 3600 ? 24 : 60);
    if (n || (parts.length && parts.length < 2)) parts.push(n ? `${count(n)} ${unit}` : "");
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ");
}

/** 14:03:59 */
export const time = (seconds) => clock.format(new Date(seconds * 1000));
