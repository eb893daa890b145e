/** shoal top: proxies and brokers, live. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WriteStream } from "node:tty";
import type { Command } from "commander";
import { Failure } from "./failure.js";
import { addCommand, numberFlag } from "./options.js";
import { LINES, printing } from "./output.js";
import { addSecurityOptions, type SecuritySettings } from "./security.js";
import { terminal } from "./terminal.js";

/** s. */
const INTERVAL = { default: 2, min: 0.1, max: 3_600 };
/** Moves the cursor to the upper left corner and clears the terminal. */
const CLEAR = "\u001b[H\u001b[J";

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
      "a proxy's --control. A table has one line per side; on a terminal it is redrawn.",
    examples: [
      "shoal top http://127.0.0.1:9464",
      "shoal top http://10.0.0.5:9464 tcp://127.0.0.1:5599 --interval 5",
      "shoal top http://127.0.0.1:9464 --once --json",
      'shoal top tcp://10.0.0.5:5599 --curve-server-key "$KEY" --curve-certificate operator_secret',
    ],
  })
    .argument("<address...>", "metrics over HTTP, or the control endpoint of a proxy or a node")
    .addOption(numberFlag("--interval <S>", "seconds between two readings", INTERVAL, "seconds"))
    .option("--once", "print the rates of one interval and end; exit code 1 if an address does not answer")
    .option("--json", "JSON lines, one per address and reading");
  addSecurityOptions(command, "connect").action((addresses: string[], settings: TopSettings) =>
    top(addresses, settings),
  );
}

async function top(texts: readonly string[], settings: TopSettings): Promise<void> {
  const { interval = INTERVAL.default, once = false } = settings;
  const [{ withSubjects }, { Watch }, views] = await Promise.all([
    import("./subjects.js"),
    import("../dashboard/collector.js"),
    import("./top/view.js"),
  ]);
  const stdout = terminal().stdout as WriteStream;
  const isRedrawn = stdout.isTTY && process.env.TERM !== "dumb" && settings.json !== true && !once;
  await withSubjects(texts, settings, false, async (subjects) => {
    const watches = subjects.map((each) => new Watch(each.address, each, interval * 1_000));
    await printing(LINES, async (output, { requested: signal }) => {
      for (let readings = 1; !signal.aborted; readings++) {
        const begin = performance.now();
        await Promise.all(watches.map((watch) => watch.look(signal)));
        if (signal.aborted) return;
        const addresses = watches.map(({ seen }) => seen);
        const last = once && readings === 2;
        if (!once || last) {
          const view = { time: Date.now(), interval, addresses };
          const width = stdout.isTTY ? stdout.columns : Number.POSITIVE_INFINITY;
          const lines =
            settings.json === true
              ? views.jsonLines(view)
              : views.tableLines(view, width, stdout.isTTY && stdout.hasColors());
          const shown = isRedrawn ? lines.slice(0, stdout.rows - 1) : lines;
          await output.write(`${isRedrawn ? CLEAR : ""}${shown.map((line) => `${line}\n`).join("")}`);
        }
        if (last) {
          if (addresses.some(({ up }) => up !== true)) throw new Failure("not every address answers");
          return;
        }
        const left = Math.max(0, interval * 1_000 - (performance.now() - begin));
        await sleep(left, undefined, { signal }).catch(() => undefined); // Aborted: the loop ends.
      }
    });
  });
}
