import dns from "node:dns";
import { connect, Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { interceptAccepts } from "../../../../src/core/node-internals.js";
import { optionValues } from "../../../../src/core/option-table.js";
import { tcp } from "../../../../src/engine/zmtp/transport/tcp.js";
import type { Stream } from "../../../../src/engine/zmtp/transport/transport.js";
import { Pull } from "../../../../src/index.js";
import { CORE } from "../../../../src/sockets/socket.js";
import { turn, until } from "../../../contract/support/wait.js";
import { start } from "../../../process/child.js";
import { missing } from "../../../support/peers.js";
import { portOf } from "../../../support/ports.js";
import { codeOf, TransportWorld } from "./support.js";

vi.mock("node:dns", async (original) => {
  const real = await original<typeof import("node:dns")>();
  return { ...real, default: { ...real, lookup: vi.fn(real.lookup) }, lookup: vi.fn(real.lookup) };
});

vi.mock("../../../../src/core/node-internals.js", { spy: true });

const lookup = vi.mocked((await import("node:dns")).lookup);
afterEach(() => {
  lookup.mockReset();
  lookup.mockImplementation(dns.lookup as never);
});

/** What the name resolves to from now on. */
function resolves(...addresses: string[]): void {
  lookup.mockImplementation(((_name: string, _options: unknown, done: (...of: unknown[]) => void) => {
    const all = addresses.map((address) => ({ address, family: 4 }));
    setImmediate(done, null, all);
  }) as never);
}

/** Blocks its thread once it listens. */
const DEAF = `
  import { createServer } from "node:net";
  const [host, port] = process.argv.slice(1);
  const server = createServer();
  server.listen({ host, port: Number(port), backlog: 1 }, () => {
    process.stdout.write(server.address().port + "\\n", () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });
  });
`;

/**
 * A loopback address where nobody answers: a program listens, never accepts, and its backlog is full, so the kernel leaves every
 * further attempt to connect unanswered. @returns what ends it
 */
async function blackHole(host: string, port = 0): Promise<{ port: number; end(): Promise<void> }> {
  const child = start(DEAF, { args: [host, String(port)], limit: 20_000 });
  const bound = Number(await child.line());
  let taken = 0;
  // As many as the kernel takes for a backlog of 1, and some more.
  const fillers = Array.from({ length: 6 }, () => {
    const socket = connect({ host, port: bound });
    socket.on("error", () => undefined);
    socket.once("connect", () => void taken++);
    return socket;
  });
  await until(() => taken >= 2, "a full backlog");
  return {
    port: bound,
    async end() {
      for (const socket of fillers) socket.destroy();
      await child.kill();
    },
  };
}

const world = new TransportWorld(tcp);

function admitting(admits: (address: string) => boolean) {
  const made: Stream[] = [];
  const accepted = (stream: Stream): void => void made.push(stream);
  return { made, acceptor: { accepted, admits, failed: () => undefined } };
}

describe("listening", () => {
  it.skipIf(missing("ipv6"))(
    "ends the connection of an address that may not connect before a stream is made, also of IPv4 at a socket of IPv6",
    async () => {
      const asked: string[] = [];
      const { made, acceptor } = admitting((address) => {
        asked.push(address);
        return false;
      });
      for (const ipv6 of [false, true]) {
        const listener = await tcp.listen("tcp://*:*", optionValues({ ipv6 }), acceptor);
        const socket = connect(portOf(listener.endpoint), "127.0.0.1");
        // It is reset, which may be seen as an error; the end comes in any case.
        await new Promise((resolve) =>
          socket
            .on("error", () => undefined)
            .resume()
            .on("close", resolve),
        );
        await listener.close();
      }
      expect([asked, made]).toEqual([["127.0.0.1", "127.0.0.1"], []]);
    },
  );

  it("without access to the system's accepts, ends such a connection after a stream is made, and takes others", async () => {
    // As on a runtime without `onconnection`.
    vi.mocked(interceptAccepts).mockImplementationOnce(() => undefined);
    const pull = new Pull();
    pull[CORE].engine.policing?.police({ admits: (address) => address !== "127.0.0.2" });
    const accepted = vi.fn();
    pull.events.on("accept", accepted);
    const port = portOf(await pull.bind("tcp://127.0.0.1:*"));
    const dial = (localAddress: string): Socket =>
      connect({ port, host: "127.0.0.1", localAddress })
        .on("error", () => undefined)
        .resume();
    await new Promise((resolve) => dial("127.0.0.2").on("close", resolve));
    expect(accepted).not.toHaveBeenCalled();
    const admitted = dial("127.0.0.1");
    await until(() => accepted.mock.calls.length > 0, "the peer");
    admitted.destroy();
    await pull.close();
  });

  it.skipIf(missing("ipv6"))(
    "on IPv6 takes both families at the wildcard, and says IPv4 addresses as such",
    async () => {
      const listener = await world.listen("tcp://*:*", { ipv6: true });
      expect(listener.endpoint).toMatch(/^tcp:\/\/\[::\]:\d+$/);
      await world.connect(`tcp://[::1]:${portOf(listener.endpoint)}`, { ipv6: true });
      await world.connect(`tcp://127.0.0.1:${portOf(listener.endpoint)}`);
      expect((await world.peers(2)).map(({ address }) => address)).toEqual(["::1", "127.0.0.1"]);
      const sync = world.listenSync("tcp://[::1]:*", { ipv6: true });
      expect((await world.connect(sync.endpoint, { ipv6: true })).remote).toBe(sync.endpoint);
    },
  );
});

describe("dialling", () => {
  it("a port that nobody listens at, from this very port, is not a connection to itself", async () => {
    const listener = await world.listen("tcp://127.0.0.1:*");
    await listener.close();
    const address = listener.endpoint.slice("tcp://".length);
    expect(await world.dial(`tcp://${address};${address}`)).toBeInstanceOf(Error);
    await world.listen(listener.endpoint); // The port is free again.
  });

  it("0.0.0.0 names the peer by the address that it has", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    const stream = await world.connect(`tcp://0.0.0.0:${portOf(endpoint)}`);
    expect([stream.remote, stream.address]).toEqual([endpoint, "127.0.0.1"]);
  });

  it("a name tries all its addresses, one after the other", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    resolves("127.0.0.2", "127.0.0.3", "127.0.0.1");
    const stream = await world.connect(`tcp://many.test:${portOf(endpoint)}`);
    expect(stream.address).toBe("127.0.0.1");
    expect(world.accepted.length).toBeLessThanOrEqual(1);
  });

  it("a name resolves again each time, and gives the last address's error when none answers", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    resolves("127.0.0.2");
    expect(await codeOf(world.dial(`tcp://moves.test:${portOf(endpoint)}`))).toBe("ECONNREFUSED");
    resolves("127.0.0.1");
    await world.connect(`tcp://moves.test:${portOf(endpoint)}`);
    resolves();
    expect(await world.dial(`tcp://moves.test:${portOf(endpoint)}`)).toMatchObject({
      message: expect.stringContaining("moves.test"),
    });
    expect(lookup).toHaveBeenCalledTimes(3);
  });

  it("asks for both families with ipv6 only", async () => {
    resolves();
    await world.dial("tcp://name.test:1");
    await world.dial("tcp://name.test:1", { ipv6: true });
    expect(lookup.mock.calls.map(([, options]) => (options as unknown as { family: number }).family)).toEqual(
      [4, 0],
    );
  });

  it("a name that does not resolve is an error", async () => {
    lookup.mockImplementation(((_name: string, _options: unknown, done: (error: Error) => void) => {
      setImmediate(done, Object.assign(new Error("not found"), { code: "ENOTFOUND" }));
    }) as never);
    expect(await codeOf(world.dial("tcp://nowhere.test:1"))).toBe("ENOTFOUND");
  });

  it("from a source address and port is seen so by the peer", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    const target = endpoint.slice("tcp://".length);
    await world.connect(`tcp://127.0.0.9:0;${target}`);
    await world.connect(`tcp://lo:0;${target}`);
    const probe = await world.listen("tcp://127.0.0.1:*");
    await probe.close();
    await world.connect(`tcp://127.0.0.1:${portOf(probe.endpoint)};${target}`);
    const [named, byInterface, withPort] = await world.peers(3);
    expect([named?.address, byInterface?.address]).toEqual(["127.0.0.9", "127.0.0.1"]);
    expect(withPort?.remote).toBe(probe.endpoint);
  });

  it.each([
    "tcp://nosuchinterface:0;127.0.0.1:9",
    "tcp://127.0.0.1:99999;127.0.0.1:9",
    "tcp://203.0.113.7:0;127.0.0.1:9",
  ])("from an invalid source, %s, is an error, not an exception", async (endpoint) => {
    expect(await world.dial(endpoint)).toBeInstanceOf(Error);
  });

  // All of 127.0.0.0/8 is this machine on Linux; elsewhere only one address is.
  it.runIf(process.platform === "linux")("is over after connectTimeout, for each address", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    const port = portOf(endpoint);
    const hole = await blackHole("127.0.0.2", Number(port));
    try {
      const late = await world.dial(`tcp://127.0.0.2:${port}`, { connectTimeout: 40 });
      expect(String(late)).toContain("no connection within 40 ms");
      resolves("127.0.0.2", "127.0.0.1");
      const stream = await world.connect(`tcp://half.test:${port}`, { connectTimeout: 40 });
      expect(stream.address).toBe("127.0.0.1");
    } finally {
      await hole.end();
    }
  });

  it("cancelled at any moment reports nothing and leaves no connection", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    resolves("127.0.0.1");
    const done = vi.fn();
    const moments: (() => Promise<void>)[] = [
      async () => undefined,
      async () => {
        await Promise.resolve();
      },
      async () => {
        await new Promise<void>((resolve) => process.nextTick(resolve));
      },
    ];
    for (const target of [endpoint, `tcp://name.test:${portOf(endpoint)}`, "tcp://127.0.0.1:1"]) {
      for (const moment of moments) {
        const cancel = tcp.dial(target, optionValues({ connectTimeout: 5 }), done);
        await moment();
        cancel();
        cancel();
      }
    }
    for (let i = 0; i < 20; i++) await turn();
    expect(done).not.toHaveBeenCalled();
    const isOver = ({ destroyed, readableEnded }: Socket): boolean => destroyed || readableEnded;
    await until(() => world.accepted.every(({ socket }) => isOver(socket.resume())), "the ends");
  });

  it("keep-alive is set as the options say, and the delay of small writes is off", async () => {
    const { endpoint } = await world.listen("tcp://127.0.0.1:*");
    const keepAlive = vi.spyOn(Socket.prototype, "setKeepAlive");
    const noDelay = vi.spyOn(Socket.prototype, "setNoDelay");
    await world.connect(endpoint);
    await world.peers(1);
    expect(keepAlive).not.toHaveBeenCalled();
    expect(noDelay.mock.calls.filter(([on]) => on).length).toBeGreaterThanOrEqual(2); // Of both ends.
    await world.connect(endpoint, { tcpKeepalive: 1, tcpKeepaliveIdle: 30 });
    await world.connect(endpoint, { tcpKeepalive: 1 });
    await world.connect(endpoint, { tcpKeepalive: 0 });
    expect(keepAlive.mock.calls).toEqual([
      [true, 30_000],
      [true, 0],
      [false, 0],
    ]);
    keepAlive.mockClear();
    const kept = await world.listen("tcp://127.0.0.1:*", { tcpKeepalive: 1, tcpKeepaliveIdle: 60 });
    await world.connect(kept.endpoint);
    await until(() => keepAlive.mock.calls.length > 0, "the accepted end");
    expect(keepAlive.mock.calls).toEqual([[true, 60_000]]);
    keepAlive.mockRestore();
    noDelay.mockRestore();
  });
});
