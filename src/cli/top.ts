/** shoal top: proxies and brokers, live. */
import type { WriteStream } from "node:tty";
import { type Command, InvalidArgumentError } from "commander";
import { addCommand } from "./command.js";
import { Failure, UsageError } from "./failure.js";
import { addClientSecurityOptions, type ClientSecurityOptions, clientSecurity } from "./options.js";
import { securityOptions } from "./security.js";
import { Stop } from "./signals.js";
import type { Screen } from "./top/screen.js";
import type { View } from "./top/view.js";

/** s between two looks. */
const INTERVAL = 2;
const MIN_INTERVAL = 0.1;
const MAX_INTERVAL = 3_600;
/** ms for an answer: the interval, within these. */
const MIN_PATIENCE = 1_000;
const MAX_PATIENCE = 5_000;

interface TopSettings extends ClientSecurityOptions {
  readonly interval?: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

export function addTopCommand(program: Command): void {
  const command = addCommand(program, {
    name: "top",
    summary: "watch proxies and brokers: rates, queues, drops, peers",
    description:
      "Asks each ADDRESS again and again, and shows what passes: http://HOST:PORT where --metrics answers, or the endpoint " +
      "of a proxy's --control. Where standard output is no terminal, it prints a line for each side.",
    examples: [
      "shoal top http://127.0.0.1:9464",
      "shoal top http://10.0.0.5:9464 tcp://127.0.0.1:5599 --interval 5",
      "shoal top http://127.0.0.1:9464 --once --json",
      'shoal top tcp://10.0.0.5:5599 --curve-server-key "$KEY" --curve-certificate operator_secret',
    ],
  })
    .argument("<address...>", "metrics over HTTP, or a proxy's control endpoint")
    .option("--interval <S>", `seconds between two looks (default ${INTERVAL})`, seconds)
    .option("--once", "two looks, the interval apart, printed once; exit code 1 where one does not answer")
    .option("--json", "an object a line for each address and look");
  addClientSecurityOptions(command).action((addresses: string[], settings: TopSettings) =>
    top(addresses, settings),
  );
}

function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(?:\.\d+)?$/.test(text) && value >= MIN_INTERVAL && value <= MAX_INTERVAL) return value;
  throw new InvalidArgumentError(`Expected seconds from ${MIN_INTERVAL} to ${MAX_INTERVAL}.`);
}

async function top(texts: readonly string[], settings: TopSettings): Promise<void> {
  const { interval = INTERVAL, once = false } = settings;
  const secured = clientSecurity(settings);
  const [{ isControl, openAddress }, { Watch }] = await Promise.all([
    import("./top/looks.js"),
    import("./top/watch.js"),
  ]);
  if ((secured.plain ?? secured.curveServerKey) !== undefined && !texts.some(isControl))
    throw new UsageError("--plain and --curve-… are for control sockets, tcp://… or ipc://…; there is none");
  const security = await securityOptions(secured);
  const patience = Math.min(MAX_PATIENCE, Math.max(MIN_PATIENCE, interval * 1_000));
  const watches: InstanceType<typeof Watch>[] = [];
  const stop = new Stop().listen();
  const { requested } = stop;
  process.stdout.on("error", stop.request); // Nobody reads any more.
  try {
    for (const text of texts) watches.push(new Watch(text, await openAddress(text, security)));
    const show = await shower(settings, once);
    try {
      for (let looks = 1; !requested.aborted; looks++) {
        const begin = performance.now();
        const addresses = await Promise.all(watches.map((watch) => watch.look(patience, requested)));
        if (requested.aborted) break;
        const last = once && looks === 2;
        if (!once || last) show.view({ time: Date.now(), interval, addresses });
        if (last) {
          if (addresses.some(({ up }) => !up)) throw new Failure("not every address answers");
          return;
        }
        await pause(interval * 1_000 - (performance.now() - begin), requested);
      }
    } finally {
      show.close();
    }
  } finally {
    process.stdout.off("error", stop.request);
    await Promise.all(watches.map((watch) => watch.close()));
    stop.dispose();
  }
}

interface Shower {
  view(view: View): void;
  close(): void;
}

/** How it is shown: JSON, lines, a table once, or a screen. */
async function shower({ json }: TopSettings, once: boolean): Promise<Shower> {
  const { stdout } = process;
  const print = (lines: readonly string[]): void => {
    if (lines.length > 0) stdout.write(`${lines.join("\n")}\n`);
  };
  if (json === true || !stdout.isTTY) {
    const { jsonLines, plainLines } = await import("./top/lines.js");
    const linesOf = json === true ? jsonLines : plainLines;
    return { view: (view) => print(linesOf(view)), close: () => undefined };
  }
  const { layout } = await import("./top/layout.js");
  const color = stdout.hasColors();
  const table = (view: View): string[] => layout(view, stdout.columns, color);
  if (once) return { view: (view) => print(table(view)), close: () => undefined };
  const { Screen } = await import("./top/screen.js");
  return live(new Screen(stdout), stdout, table);
}

function live(screen: Screen, stdout: WriteStream, table: (view: View) => string[]): Shower {
  let shown: View | undefined;
  const draw = (): void => {
    if (shown !== undefined) screen.draw(table(shown));
  };
  screen.open();
  screen.draw(["shoal top"]);
  stdout.on("resize", draw);
  return {
    view: (view) => {
      shown = view;
      draw();
    },
    close: () => {
      stdout.off("resize", draw);
      screen.close();
    },
  };
}

/** Ends early when it is told to stop. */
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
