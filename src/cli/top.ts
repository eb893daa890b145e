/** shoal top: proxies and brokers, live. */
import { once as occurrence } from "node:events";
import type { Writable } from "node:stream";
import type { ReadStream, WriteStream } from "node:tty";
import type { Command } from "commander";
import { Failure } from "./failure.js";
import { addCommand, seconds } from "./options.js";
import { addClientSecurityOptions, clientSecurityOptions, type SecuritySettings } from "./security.js";
import { Stop } from "./stop.js";
import { terminal } from "./terminal.js";
import type { Choice } from "./top/keys.js";
import type { Shown } from "./top/layout.js";
import type { View } from "./top/view.js";

/** The default interval of the readings, in s. */
const INTERVAL = 2;
const MIN_INTERVAL = 0.1;
const MAX_INTERVAL = 3_600;
/** Bounds of the time-out of an answer, which is the interval, in ms. */
const MIN_TIMEOUT = 1_000;
const MAX_TIMEOUT = 5_000;

interface TopSettings extends SecuritySettings {
  readonly interval?: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

export function addTopCommand(program: Command): void {
  const command = addCommand(program, {
    name: "top",
    summary: "watch proxies and brokers: rates, queues, drops, peers",
    description:
      "Reads the counters of each ADDRESS at an interval, and shows rates: http://HOST:PORT of --metrics, or the endpoint of " +
      "a proxy's --control. On a terminal ? shows the keys, and q quits. When standard output is not one, it prints one line per side.",
    examples: [
      "shoal top http://127.0.0.1:9464",
      "shoal top http://10.0.0.5:9464 tcp://127.0.0.1:5599 --interval 5",
      "shoal top http://127.0.0.1:9464 --once --json",
      'shoal top tcp://10.0.0.5:5599 --curve-server-key "$KEY" --curve-certificate operator_secret',
    ],
  })
    .argument("<address...>", "metrics over HTTP, or the control endpoint of a proxy or a node")
    .option(
      "--interval <S>",
      `seconds between two readings (default ${INTERVAL})`,
      seconds(MIN_INTERVAL, MAX_INTERVAL),
    )
    .option("--once", "print the rates of one interval and end; exit code 1 if an address does not answer")
    .option("--json", "JSON lines, one per address and reading");
  addClientSecurityOptions(command).action((addresses: string[], settings: TopSettings) =>
    top(addresses, settings),
  );
}

async function top(texts: readonly string[], settings: TopSettings): Promise<void> {
  const { interval = INTERVAL, once = false } = settings;
  const security = await clientSecurityOptions(settings);
  const { checkSecured, openAddress, Watch } = await import("./top/address.js");
  checkSecured(texts, settings);
  const timeout = Math.min(MAX_TIMEOUT, Math.max(MIN_TIMEOUT, interval * 1_000));
  const watches: InstanceType<typeof Watch>[] = [];
  const stop = new Stop().listen();
  const { requested } = stop;
  const { stdout } = terminal();
  stdout.on("error", stop.request); // The reader is gone.
  try {
    for (const text of texts) watches.push(new Watch(text, await openAddress(text, security)));
    const display = await displayOf(settings, once, stop.request);
    try {
      for (let readings = 1; !requested.aborted; readings++) {
        const begin = performance.now();
        const addresses = await Promise.all(watches.map((watch) => watch.look(timeout, requested)));
        if (requested.aborted) break;
        const last = once && readings === 2;
        if (!once || last) display.view({ time: Date.now(), interval, addresses });
        if (last) {
          if (addresses.some(({ up }) => !up)) throw new Failure("not every address answers");
          return;
        }
        await pause(interval * 1_000 - (performance.now() - begin), requested);
        if (stdout.writableNeedDrain) await drained(stdout, requested);
      }
    } finally {
      display.close();
    }
  } finally {
    stdout.off("error", stop.request);
    await Promise.all(watches.map((watch) => watch.close()));
    stop.dispose();
  }
}

interface Display {
  view(view: View): void;
  close(): void;
}

/** The display: JSON, lines, a table once, or a screen. */
async function displayOf({ json }: TopSettings, once: boolean, quit: () => void): Promise<Display> {
  const stdout = terminal().stdout as WriteStream;
  const print = (lines: readonly string[]): void => {
    if (lines.length > 0) stdout.write(`${lines.join("\n")}\n`);
  };
  if (json === true || !stdout.isTTY) {
    const { jsonLines, plainLines } = await import("./top/view.js");
    const linesOf = json === true ? jsonLines : plainLines;
    return { view: (view) => print(linesOf(view)), close: () => undefined };
  }
  const [{ layout }, { afterInput, FIRST_CHOICE }, { Trends }] = await Promise.all([
    import("./top/layout.js"),
    import("./top/keys.js"),
    import("./top/trends.js"),
  ]);
  const color = stdout.hasColors();
  const table = (view: View, shown?: Shown): string[] => layout(view, stdout.columns, color, shown);
  if (once) return { view: (view) => print(table(view)), close: () => undefined };
  const trends = new Trends();
  const screen = new Screen(stdout);
  let last: View | undefined;
  let choice: Choice = FIRST_CHOICE;
  const draw = (): void => {
    if (last !== undefined) screen.draw(table(last, { height: stdout.rows - 1, choice, trends }));
  };
  const stopReading = readKeys((input) => {
    const next = afterInput(choice, input);
    if (next === "quit") {
      quit();
      return;
    }
    choice = next;
    draw();
  });
  screen.open();
  screen.draw(["shoal top"]);
  stdout.on("resize", draw);
  return {
    view: (view) => {
      last = view;
      trends.add(view);
      draw();
    },
    close: () => {
      stopReading();
      stdout.off("resize", draw);
      screen.close();
    },
  };
}

/** Reads keys as they are pressed, where standard input is a terminal. @returns ends that */
function readKeys(onInput: (input: string) => void): () => void {
  const { stdin } = terminal();
  const keyboard = stdin as ReadStream | undefined;
  if (keyboard?.isTTY !== true) return () => undefined;
  const onData = (data: Buffer): void => onInput(data.toString("utf8"));
  const restore = (): void => void keyboard.setRawMode(false);
  keyboard.setRawMode(true);
  process.on("exit", restore);
  keyboard.on("data", onData);
  return () => {
    keyboard.off("data", onData);
    keyboard.pause();
    process.off("exit", restore);
    restore();
  };
}

/** While a reader stands still nothing is read for it: its lines would gather here. @returns ends early when the signal is aborted */
async function drained(stdout: Writable, signal: AbortSignal): Promise<void> {
  await Promise.race([
    occurrence(stdout, "drain", { signal }),
    occurrence(stdout, "close", { signal }),
  ]).catch(
    // Aborted; an error of the stream has its own listener.
    () => undefined,
  );
}

/** Ends early when the signal is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal.addEventListener("abort", done, { once: true });
  });
}

/** A terminal's alternate screen: entered, redrawn, and left in any case, even when the process exits. */

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

class Screen {
  readonly #out: WriteStream;
  #isOpen = false;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  open(): void {
    this.#isOpen = true;
    this.#out.write(ENTER);
    process.on("exit", this.close);
  }

  /** Draws from the upper left corner; lines below the last row are cut. */
  draw(lines: readonly string[]): void {
    // A terminal that stands still has its next picture when it goes on.
    if (!this.#isOpen || this.#out.writableNeedDrain) return;
    const shown = lines.slice(0, Math.max(1, this.#out.rows - 1));
    this.#out.write(`${HOME}${shown.map((line) => `${line}${CLEAR_LINE}\r\n`).join("")}${CLEAR_BELOW}`);
  }

  /** Shows the primary screen again. */
  readonly close = (): void => {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off("exit", this.close);
    this.#out.write(LEAVE);
  };
}
