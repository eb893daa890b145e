/** What Linux reports of a TCP connection, and how seldom it is asked. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  addressKey,
  parseRow,
  sendStateOf,
  TcpTables,
} from "../../../../src/engine/zmtp/transport/tcp-table.js";
import { until } from "../../../contract/support/wait.js";

const LINUX = process.platform === "linux";
if (!LINUX) console.log("skipped: only Linux has /proc/net/tcp");

describe("a row's key", () => {
  it.each([
    ["127.0.0.1", 8_080, "0100007F:1F90"],
    ["192.168.1.20", 65_535, "1401A8C0:FFFF"],
    ["::1", 80, "00000000000000000000000001000000:0050"],
    ["::", 0, "00000000000000000000000000000000:0000"],
    ["::ffff:10.1.2.3", 9, "0000000000000000FFFF00000302010A:0009"],
    ["2001:db8::8a2e:370:7334", 443, "B80D0120000000002E8A000034737003:01BB"],
    ["fe80::1%eth0", 1, "000080FE000000000000000001000000:0001"],
    ["1:2:3:4:5:6:7:8", 1, "02000100040003000600050008000700:0001"],
    ["1::", 1, "00000100000000000000000000000000:0001"],
  ])("of %s is its words in the machine's order", (address, port, key) => {
    expect(addressKey(address, port)).toBe(key);
  });
});

describe("a row", () => {
  const row = (queue: string, timer: string, retransmits: string, probes: string): string =>
    `  47: 0100007F:AFD7 0100007F:ADB0 01 ${queue}:00000000 ${timer} ${retransmits}     0        ${probes} 402747 2 0000000009`;

  it("of which all is acknowledged", () => {
    const state = { unacknowledged: 0, probing: false, unanswered: 0, due: 0 };
    expect(parseRow(row("00000000", "00:00000000", "00000000", "0"))).toEqual(state);
  });

  it("that sends the same again", () => {
    const state = { unacknowledged: 0x1009, probing: false, unanswered: 10, due: 2_550 };
    expect(parseRow(row("00001009", "01:000000FF", "0000000A", "0"))).toEqual(state);
  });

  it("whose peer's window is closed", () => {
    const state = { unacknowledged: 0x3cf32a, probing: true, unanswered: 12, due: 320 };
    expect(parseRow(row("003CF32A", "04:00000020", "00000000", "12"))).toEqual(state);
  });

  it.each([
    "",
    "  47: 0100007F:AFD7 0100007F:ADB0 01",
    "sl local rem st tx rx tr tm->when retrnsmt uid timeout",
  ])("that is invalid shows nothing (%j)", (line) => {
    expect(parseRow(line)).toBeUndefined();
  });
});

describe.skipIf(!LINUX)("a connection", () => {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  /** The peer does not read. */
  async function open(host: string): Promise<Socket> {
    const server = createServer({ pauseOnConnect: true }, (socket) => sockets.push(socket));
    server.listen(0, host);
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, host);
    sockets.push(socket);
    await once(socket, "connect");
    server.close();
    return socket;
  }

  it.each([
    "127.0.0.1",
    "::1",
  ])("over %s whose peer does not read is acknowledged, then probed and answered", async (host) => {
    const socket = await open(host);
    socket.write("a little");
    await until(() => socket.writableLength === 0, "the write");
    expect(await sendStateOf(socket)).toMatchObject({ unacknowledged: 0, unanswered: 0 });
    socket.write(Buffer.alloc(64_000_000));
    let state = await sendStateOf(socket);
    // A probe that left just now has no answer yet.
    for (let i = 0; i < 20 && (state?.probing !== true || state.unanswered > 0); i++)
      state = await sendStateOf(socket);
    expect(state).toMatchObject({ probing: true, unanswered: 0 });
    expect(state?.unacknowledged).toBeGreaterThan(0);
  });

  it("that has ended is not known", async () => {
    const socket = await open("127.0.0.1");
    const asked = sendStateOf(socket);
    expect(await asked).toBeDefined();
    socket.destroy();
    expect(await sendStateOf(socket)).toBeUndefined();
  });
});

describe("the tables", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const row = (key: string): string => `   1: ${key} 01 00000005:00000000 01:00000000 00000000 0 0 1 2 0`;

  it("are read once for all that ask, and again only after a pause, for those that asked meanwhile", async () => {
    let reads = 0;
    const tables = new TcpTables(async (_, onLine) => {
      reads += 1;
      onLine(row("A:1 B:2"));
      onLine(row("A:1 B:3"));
      return 300;
    });
    const first = tables.find("tcp", "A:1 B:2");
    // The first reading is under way: these want another.
    const others = [
      tables.find("tcp", "A:1 B:3"),
      tables.find("tcp", "A:1 B:3"),
      tables.find("tcp", "nowhere B:4"),
    ];
    expect(await first).toMatchObject({ unacknowledged: 5 });
    expect(reads).toBe(1);
    await vi.advanceTimersByTimeAsync(99);
    expect(reads).toBe(1);
    await vi.advanceTimersByTimeAsync(2);
    expect((await Promise.all(others)).map((state) => state?.unacknowledged)).toEqual([5, 5, undefined]);
    expect(reads).toBe(2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([reads, vi.getTimerCount()]).toEqual([2, 0]);
  });

  it("are read the less often the longer it takes, where they are long", async () => {
    let reads = 0;
    const tables = new TcpTables(async () => {
      reads += 1;
      await new Promise((resolve) => setTimeout(resolve, 500));
      return 20_000_000;
    });
    void tables.find("tcp", "A");
    const second = tables.find("tcp", "B");
    await vi.advanceTimersByTimeAsync(5_400);
    expect(reads).toBe(1);
    await vi.advanceTimersByTimeAsync(700);
    expect([await second, reads]).toEqual([undefined, 2]);
  });

  it("are read again soon after a process stood still while it read", async () => {
    let reads = 0;
    const tables = new TcpTables(async () => {
      reads += 1;
      if (reads === 1) await new Promise((resolve) => setTimeout(resolve, 600_000));
      return 67_108_864;
    });
    void tables.find("tcp", "A");
    const second = tables.find("tcp", "B");
    await vi.advanceTimersByTimeAsync(610_100);
    expect([await second, reads]).toEqual([undefined, 2]);
  });

  it("are read again soon after a short one that a busy machine took long for", async () => {
    let reads = 0;
    const tables = new TcpTables(async () => {
      reads += 1;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      return 15_000;
    });
    void tables.find("tcp", "A");
    const second = tables.find("tcp", "B");
    await vi.advanceTimersByTimeAsync(4_200);
    expect([await second, reads]).toEqual([undefined, 2]);
  });

  it("are read for the next that asks when the timer of the pause is lost", async () => {
    const tables = new TcpTables(async (_, onLine) => {
      onLine(row("A:1 B:2"));
      return 150;
    });
    expect(await tables.find("tcp", "A:1 B:2")).toBeDefined();
    await vi.advanceTimersByTimeAsync(0);
    vi.clearAllTimers();
    await vi.advanceTimersByTimeAsync(200);
    expect(await tables.find("tcp", "A:1 B:2")).toBeDefined();
  });

  it("that cannot be read say nothing, and do not fail", async () => {
    const tables = new TcpTables(async () => {
      throw new Error("ENOENT");
    });
    expect(await tables.find("tcp", "A")).toBeUndefined();
  });
});
