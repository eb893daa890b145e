/** `shoal majordomo`: a broker, workers that echo or run a program, calls. */
import { expect, it } from "vitest";
import { fails, run, start, startWithout } from "./in-process.js";
import { useFolder } from "./support.js";

useFolder();

const CALL = ["majordomo", "call"] as const;

/** A broker, and a worker whose program fails for a bad word. */
async function fishes() {
  const broker = startWithout("majordomo", "broker", "--bind", "tcp://127.0.0.1:*");
  const endpoint = await broker.endpoint();
  const command = 'read word; test "$word" != bad || { echo no such fish >&2; exit 3; }; echo "<$word>"';
  const worker = startWithout("majordomo", "worker", "fish", "--connect", endpoint, "--exec", command);
  await worker.until("stderr", /offering fish/);
  return { broker, endpoint, worker };
}

it("makes a service of any program, and reports its failure", async () => {
  const { broker, endpoint, worker } = await fishes();
  const one = await run("", ...CALL, "fish", "eel\n", "--connect", endpoint);
  expect([one.code, String(one.stdout)]).toEqual([0, "<eel>\n\n"]);
  const many = await run("cod\ntuna\n", ...CALL, "mmi.service", "--connect", endpoint);
  expect([many.code, String(many.stdout)]).toEqual([0, "404\n404\n"]);
  const json = start(...CALL, "mmi.service", "--json", "--connect", endpoint);
  await json.end('{"frames":["fish"]}\n').prints('{"frames":["200"]}\n');
  const bad = [...CALL, "fish", "bad\n", "-q", "--connect", endpoint];
  await fails(1, "exit status 3: no such fish (worker-failed)", bad);

  await worker.stop();
  await broker.until("stderr", /leaves fish: disconnect/);
  const late = [...CALL, "fish", "x", "-q", "--connect", endpoint, "--timeout", "300"];
  await fails(1, "no reply came within 300 ms", late);
  await broker.stop();
}, 30_000);

it("a call ends with a reply that fails while more input may come, and prints what came before a line that it cannot read", async () => {
  const { endpoint } = await fishes();
  const call = start(...CALL, "fish", "--connect", endpoint);
  call.write("cod\nbad\n");
  await call.fails("exit status 3: no such fish (worker-failed)");
  expect(String(call.stdout)).toBe("<cod>\n\n");

  const lines = '{"frames":["cod"]}\n{"frames":["eel"]}\nnonsense\n';
  const invalid = start(...CALL, "fish", "--json", "--connect", endpoint).end(lines);
  await invalid.fails("line 3: invalid JSON");
  expect(String(invalid.stdout)).toBe('{"frames":["<cod>\\n"]}\n{"frames":["<eel>\\n"]}\n');
}, 30_000);

it("a worker that is asked to stop ends what it has in flight first", async () => {
  const broker = startWithout("majordomo", "broker", "--bind", "tcp://127.0.0.1:*");
  const endpoint = await broker.endpoint();
  const command = "echo begun >&2; read word; sleep 0.3; echo $word";
  const worker = startWithout("majordomo", "worker", "slow", "--connect", endpoint, "--exec", command);
  await worker.until("stderr", /offering slow/);
  const call = start(...CALL, "slow", "eel\n", "--connect", endpoint).end();
  // Asked in pieces that its program has it: the broker's own account says so.
  for (;;) {
    const { stdout } = await run("", ...CALL, "mmi.stats", "x", "--connect", endpoint);
    if (String(stdout).includes('"inFlight":1')) break;
    if (String(stdout).includes('"answered":1')) break;
  }
  worker.signal("SIGTERM");
  expect(String((await call.ended).stdout)).toBe("eel\n\n");
  expect((await worker.ended).code).toBe(0);
}, 30_000);

it("the broker prints its statistics at its end with --json, and nothing else on standard output", async () => {
  const broker = start("majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--json");
  await broker.endpoint();
  const { stdout } = await broker.stop();
  expect(JSON.parse(String(stdout))).toMatchObject({ services: 0, workers: 0 });
});

it.each([
  [["broker"], "expected --bind EP"],
  [["worker", "x", "--connect", "tcp://127.0.0.1:1"], "--echo or --exec"],
  [["worker", "mmi.x", "--echo", "--connect", "tcp://127.0.0.1:1"], "mmi."],
  [["call"], "service"],
] as const)("%j is bad usage", async (args, what) => void (await fails(2, what, ["majordomo", ...args])));
