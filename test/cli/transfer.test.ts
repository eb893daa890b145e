import { afterEach, expect, test } from "vitest";
import type { Session } from "../../src/cli/session.js";
import { Stop } from "../../src/cli/stop.js";
import { receiveAll } from "../../src/cli/transfer.js";
import { Pull, Push, type Socket } from "../../src/index.js";

const open: Socket[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close({ linger: 0 })));
});

/** A pull that has messages, and what is printed of them. */
async function holding(count: number): Promise<{ session: Session<Pull>; printed: string[] }> {
  const pull = new Pull();
  const push = new Push();
  open.push(pull, push);
  await pull.bind("inproc://cli-transfer");
  push.connect("inproc://cli-transfer");
  for (let i = 0; i < count; i++) await push.send(String(i));
  const printed: string[] = [];
  const output = {
    gone: false,
    print: async (messages: Buffer[][]) => void printed.push(...messages.map(String)),
  };
  const session = { socket: pull, settings: {}, stop: new Stop(), output };
  return { session: session as unknown as Session<Pull>, printed };
}

test("what has come already is printed after the end was asked for", async () => {
  const { session, printed } = await holding(200);
  expect(await receiveAll(session, { until: AbortSignal.abort() })).toBe(false);
  expect(printed).toHaveLength(200);
});

test("no more than max is taken, then neither", async () => {
  const { session, printed } = await holding(5);
  expect(await receiveAll(session, { until: AbortSignal.abort(), max: 3 })).toBe(true);
  expect(printed).toEqual(["0", "1", "2"]);
});

test("nothing more is taken when the command has to give up", async () => {
  const { session, printed } = await holding(5);
  session.stop.request();
  session.stop.request();
  expect(await receiveAll(session, { until: session.stop.requested })).toBe(false);
  expect(printed).toEqual([]);
  session.stop.dispose();
});
