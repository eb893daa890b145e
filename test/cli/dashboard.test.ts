/** shoal dashboard as an operator runs it. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeDetails, peerItemsOf } from "../../src/cli/subjects.js";
import { sidesOf } from "../../src/dashboard/build.js";
import type { DashboardList, DashboardState } from "../../src/dashboard/index.js";
import { missing, peerAt } from "../support/peers.js";
import { fails, startWithout } from "./in-process.js";
import { Child, ipc, startStreamer, useShoal, written } from "./support.js";

useShoal();

const TOKEN = "0123456789abcdef";
describe("shoal dashboard", () => {
  it("shows a proxy by its control socket and by its metrics, steers it, and ends by a signal", async () => {
    const control = ipc();
    const more = ["--control", control, "--name", "orders"];
    const { url: metrics, at } = await startStreamer(startWithout, more);
    const away = ipc();
    const dashboard = startWithout(
      ...["dashboard", control, metrics, away, "--listen", "127.0.0.1:0", "--interval", "0.2"],
      ...["--token-file", written(TOKEN)],
    );
    const [, url] = await dashboard.until("stderr", /listening at (\S+)\n/);
    const state = async (): Promise<DashboardState> =>
      (await (await fetch(`${url}/api/state`)).json()) as DashboardState;
    let processes = (await state()).processes;
    while (processes.slice(0, 2).some(({ up }) => up !== true)) processes = (await state()).processes;
    expect(processes.map(({ address }) => address)).toEqual([control, metrics, away]);
    const sides = [
      { side: "frontend", type: "pull", bound: [await at("frontend")], connected: [] },
      { side: "backend", type: "push", bound: [await at("backend")], connected: [] },
    ];
    expect(processes[0]?.sources).toMatchObject([
      { id: "p0/orders", kind: "streamer", state: "running", sides, actions: ["pause", "drain"] },
    ]);
    expect(processes[1]?.sources).toEqual([]);
    const steer = (source: string) =>
      fetch(`${url}/api/control`, {
        method: "POST",
        headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
        body: JSON.stringify({ source, action: "pause" }),
      });
    await dashboard.until("stderr", /http:\S+ has metrics only, so the token does nothing there/);
    expect((await steer("p1/orders")).status).toBe(409);
    expect((await steer("p0/orders")).status).toBe(204);
    while ((await state()).processes[0]?.sources[0]?.state !== "paused");
    await dashboard.stop();
  });

  it.skipIf(missing("pyzmq"))(
    "lists the peers of a proxy that runs elsewhere, pyzmq's among them",
    async () => {
      const control = ipc();
      const { at } = await startStreamer(startWithout, ["--control", control, "--name", "orders"]);
      const program = join(import.meta.dirname, "peers/watched_pull.py");
      const python = new Child(peerAt("pyzmq"), [program, await at("backend")]);
      const dashboard = startWithout("dashboard", control, "--listen", "127.0.0.1:0", "--interval", "0.2");
      await python.line();
      const [, url] = await dashboard.until("stderr", /listening at (\S+)\n/);
      let list: DashboardList | undefined;
      while (list?.items?.length !== 1) {
        const response = await fetch(`${url}/api/list?source=p0/orders&name=backend%20peers`);
        list = (await response.json()) as DashboardList;
      }
      const { address } = list.items[0] ?? {};
      expect(address).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
      const detail = "pull, 0 to send, 0 received and waiting";
      expect(list.items[0]).toEqual({ name: address, state: "connected", address, detail });
    },
  );

  it("reads whatever a remote proxy has as its peers", () => {
    const good = { name: "a", type: "pull", address: "tcp://h:1", queuedOut: 2, queuedIn: 3 };
    const detail = "pull, 2 to send, 3 received and waiting";
    const shown = { name: "a", state: "connected", address: "tcp://h:1", detail };
    expect(peerItemsOf([null, 5, {}, { name: "a" }, { ...good, name: 5 }, good])).toEqual([shown]);
    expect(peerItemsOf([{ name: "a", address: "b", type: {}, queuedOut: -1, queuedIn: "x" }])).toMatchObject([
      { detail: "0 to send, 0 received and waiting" },
    ]);
    expect(peerItemsOf("x")).toEqual([]);
    expect(peerItemsOf(Array.from({ length: 10_005 }, () => good))).toHaveLength(10_000);
  });

  it("refuses a bad address, a token that others may read, and security without a control socket", async () => {
    const some = "http://127.0.0.1:1";
    const cases: [string[], RegExp][] = [
      [["nowhere"], /address "nowhere": expected/],
      [[some, "--token-file", written(TOKEN, 0o644)], /the token file \S+ can be read by others/],
      [[some, "--token-file", written("short")], /the token file \S+ is not one line/],
      [[some, "--listen", "nowhere"], /expected HOST:PORT/],
      [[some, "--interval", "0"], /Expected seconds from 0.2 to 60/],
      [[some, "--plain", "a:b"], /are for control sockets/],
    ];
    for (const [args, error] of cases) await fails(2, error, ["dashboard", ...args]);
  });

  it("reads whatever a remote program has as its status", () => {
    const none = { bound: [], connected: [], drops: {} };
    expect(sidesOf({ frontend: null, backend: 5 })).toEqual({ frontend: none, backend: none });
    const { frontend } = sidesOf({ frontend: { type: 1, endpoints: [1, "tcp://h:1"], connected: "x" } });
    expect(frontend).toEqual({ ...none, bound: ["tcp://h:1"] });
    const dropped = { loop: 2, "peer-full": "many" };
    const sides = sidesOf({
      frontend: { in: { dropped }, out: 5 },
      backend: { in: { dropped: 7 }, out: null },
    });
    expect(sides).toEqual({ frontend: { ...none, drops: { loop: 2 } }, backend: none });
    const { lists, actions } = nodeDetails({
      state: "running",
      members: [null, 7, { name: "a" }, { name: "a", state: "lost", address: 5, tags: ["x", 5, "y"] }],
    });
    expect(lists?.members?.items()).toEqual([{ name: "a", state: "lost", detail: "x, y" }]);
    expect(actions).toEqual(["drain"]);
  });

  it("has the members of a node's status that run by their names alone, and those in trouble first", () => {
    const states = ["running", "draining", "lost", "suspect", "left"];
    const members = ["self", ...states].map((name, at) => ({ name, state: states[at - 1] ?? "running" }));
    const { members: shown } = nodeDetails({ name: "self", state: "running", members });
    expect(shown).toEqual(["lost, lost", "suspect, suspect", "running", "draining"]);
  });
});
