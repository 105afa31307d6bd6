// What the drivers share: they print a line of JSON for each piece of the answer, and one for the end.

export const [url, prompt, leaveAfter] = [process.argv[2], process.argv[3], Number(process.argv[4])];
export const leaving = new AbortController();

let pieces = 0, over = false;
const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");

/** A piece of the answer has come; says whether the client is to leave now. */
export function piece(text) {
  if (over) return true;
  print({ piece: text });
  if (++pieces !== leaveAfter) return false;
  end({ left: true });
  leaving.abort();
  return true;
}

/** What the client made of the stream: { whole: text }, { error: name } or { left: true }. */
export function end(line) {
  if (over) return;
  over = true;
  print(line);
}

export const failed = (error) => end({ error: `${error?.constructor?.name}: ${error?.message ?? error}` });

/** Run a driver; whatever it does not catch is its end. */
export async function drive(main) {
  process.on("unhandledRejection", failed);
  try {
    await main();
  } catch (error) {
    failed(error);
  }
}
