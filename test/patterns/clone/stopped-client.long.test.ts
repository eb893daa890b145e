/** Clients that ask for the map, subscribe, and never read. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { Context } from "../../../src/index.js";
import { CloneClient, CloneServer } from "../../../src/patterns/index.js";
import { until, within } from "../../contract/support/wait.js";
import { greeting, ready } from "../../contract/support/zmtp-peer.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { collectGarbage } from "../../support/collect-garbage.js";

const track = closeAfterEach();

/** Says all in one write, and reads nothing. */
async function mute(endpoint: string, type: string, ...frames: Buffer[]): Promise<Socket> {
  const { hostname, port } = new URL(endpoint);
  const socket = connect({ host: hostname, port: Number(port) });
  track({ close: () => socket.destroy() });
  socket.pause();
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(Buffer.concat([greeting("NULL", 0), ready(type), ...frames]));
  return socket;
}

function bytesHeld(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

const CLIENTS = 4;
const VALUE = 100_000;
const KEYS = 50;
/** Bytes of updates, many times what the marks and the kernel hold. */
const UPDATES = 150_000_000;
const MARK = 2_097_152;
const SNAPSHOT_MARK = 4_194_304;

test("what a server holds for clients that never read has a bound, and the others go on", async () => {
  const context = new Context({ engine: "zmtp" });
  const calm = { heartbeatInterval: 5_000, context };
  const server = track(new CloneServer({ publishHighWaterMarkBytes: MARK, ...calm }));
  const endpoint = await server.bind("tcp://127.0.0.1:*");
  let dropped = 0;
  server.events.on("update:dropped", ({ copies }) => {
    dropped += copies;
  });
  let round = 0;
  const set = (n: number): boolean => server.set(`k${n % KEYS}`, Buffer.alloc(VALUE, ++round));
  for (let n = 0; n < KEYS; n++) expect(set(n)).toBe(true);
  const client = track(new CloneClient(endpoint, calm));
  await within(client.ready(), "the map");
  const before = bytesHeld();

  const { snapshot, publisher } = server.endpoints;
  for (let n = 0; n < CLIENTS; n++) {
    await mute(snapshot, "DEALER", Buffer.from("\x01\x08ICANHAZ?\x00\x00", "latin1"));
    await mute(publisher, "SUB", Buffer.from("\x00\x01\x01", "latin1"));
  }
  await until(() => {
    const { active, waiting, done } = server.stats().snapshots;
    return active + waiting + done === CLIENTS + 1;
  }, "the requests for snapshots");

  let most = 0;
  for (let n = 0; n * VALUE < UPDATES; ) {
    for (const end = n + 10; n < end; n++) set(n);
    await until(() => client.sequence === server.stats().sequence, "the client that reads has all");
    if (n % 100 === 0) most = Math.max(most, bytesHeld() - before);
  }
  expect(dropped).toBeGreaterThan(0);
  expect(client.stats().gaps).toBe(0);
  // In addition to the marks, both ends of what is in flight to the client that reads, and what it was read
  // into, which lasts as long as one value of it does. Without a bound it is all of the updates.
  expect(most).toBeLessThan(CLIENTS * (MARK + SNAPSHOT_MARK) + 40_000_000);
});
