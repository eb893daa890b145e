/**
 * Links whose other end is a process that is killed, or stopped: what this end sees, and what goes on afterwards. Of the default run, attacks.test.ts kills a process,
 * rules.test.ts has silence in virtual time, and tunnel.apart.test.ts sockets that connect again over another link.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Dealer, registerTransport } from "../../src/index.js";
import {
  commence,
  type LinkChannel,
  LinkTransport,
  type MultiplexLink,
  type MultiplexLinkOptions,
} from "../../src/link/index.js";
import { type Child, start } from "../process/child.js";
import { freePort } from "../support/ports.js";

const PASSWORD = "correct horse battery";

/** Echoes the channels "load", keeps "deaf" unread, and has a ROUTER for all others. */
const PROGRAM = `
import { createServer } from "node:net";
import { registerTransport, Router } from "shoal";
import { commence, LinkTransport } from "shoal/link";
const [port, password] = process.argv.slice(1);
const transport = new LinkTransport({
  otherwise: (channel) => {
    channel.on("error", () => undefined);
    if (channel.name === "load") channel.pipe(channel);
  },
});
registerTransport(transport);
const router = new Router();
await router.bind("link://echo");
const server = createServer(async (socket) => {
  const link = await commence(socket, { role: "acceptor", password, onChannel: transport.onChannel, pingInterval: 200, pingTimeout: 500 });
  link.events.once("link:ended", ({ error }) => console.log("ended " + error?.code));
});
server.listen(Number(port), "127.0.0.1", () => console.log("listens"));
for await (const frames of router) await router.send(frames);
`;

const children: Child[] = [];
const open: { close(options: { linger: number }): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close({ linger: 0 });
  for (const child of children.splice(0)) {
    if (child.running) await child.kill();
  }
});

async function serve(port: number): Promise<Child> {
  const child = start(PROGRAM, { args: [String(port), PASSWORD] });
  children.push(child);
  await child.heard("listens");
  return child;
}

async function dial(port: number, options: MultiplexLinkOptions = {}): Promise<MultiplexLink> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const link = await commence(socket, { role: "dialler", password: PASSWORD, ...options });
  open.push(link);
  return link;
}

function failureOf(channel: LinkChannel): Promise<Error & { code?: string }> {
  return new Promise((resolve) => channel.once("error", resolve));
}

function endOf(link: MultiplexLink): Promise<{ readonly error?: unknown }> {
  return new Promise((resolve) => link.events.once("link:ended", resolve));
}

/** Writes without end, as fast as it is taken. */
function flood(channel: LinkChannel): void {
  const piece = Buffer.alloc(32_768, 1);
  const write = (): void => {
    while (!channel.destroyed && channel.write(piece));
  };
  channel.on("drain", write);
  write();
}

describe("a link whose other process", () => {
  it("is killed with -9 under load fails each channel, and what is being opened", async () => {
    const port = await freePort();
    const child = await serve(port);
    const link = await dial(port);
    const channels = await Promise.all(Array.from({ length: 20 }, () => link.open("load")));
    let echoed = 0;
    const flows = new Promise<void>((resolve) => {
      for (const channel of channels)
        channel.on("data", ({ length }: Buffer) => {
          echoed += length;
          if (echoed > 4_000_000) resolve();
        });
    });
    for (const channel of channels) flood(channel);
    await flows;
    const failures = channels.map(failureOf);
    const ended = endOf(link);
    child.process.kill("SIGKILL");
    const opening = link.open("load").catch((error: unknown) => error);
    expect((await Promise.all(failures)).map(({ code }) => code)).toEqual(Array(20).fill("ERR_TRANSPORT"));
    expect(await ended).toMatchObject({ error: { code: "ERR_TRANSPORT" } });
    // It may have been accepted just before.
    const opened = await opening;
    if (opened instanceof Error) expect(opened).toMatchObject({ code: "ERR_TRANSPORT" });
    expect(link.ended).toBe(true);
    expect(link.channels.length).toBe(0);
    await expect(link.open("load")).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  });

  it("is killed and started again has the same sockets, over another link", async () => {
    const port = await freePort();
    let child = await serve(port);
    const transport = new LinkTransport();
    let links = 0;
    const site = `site${port}`;
    transport.add(site, () => {
      links += 1;
      return dial(port);
    });
    // Of this process: its scheme is registered once.
    registerTransport(transport);
    const dealer = new Dealer({ reconnectInterval: 20, reconnectMaxInterval: 100 });
    open.push(dealer);
    const next = (type: "connect" | "disconnect"): Promise<unknown> =>
      new Promise((resolve) => dealer.events.once(type, resolve));
    let connected = next("connect");
    dealer.connect(`link://${site}/echo`);
    for (let kills = 0; kills < 3; kills++) {
      await connected;
      await dealer.send(["", `${kills}`]);
      expect(String((await dealer.receive())[1])).toBe(`${kills}`);
      if (kills === 2) break;
      const lost = next("disconnect");
      await child.kill();
      await lost;
      connected = next("connect");
      child = await serve(port);
    }
    expect(links).toBeGreaterThanOrEqual(3);
  });

  it("stands still ends after its silence, holds a bounded part of what is written, and ends there as well", async () => {
    const port = await freePort();
    const child = await serve(port);
    const link = await dial(port, { pingInterval: 200, pingTimeout: 500 });
    const [busy, deaf] = await Promise.all([link.open("load"), link.open("deaf")]);
    busy.resume();
    const started = once(busy, "data");
    flood(busy);
    flood(deaf);
    await started;
    const failures = [busy, deaf].map(failureOf);
    const ended = endOf(link);
    child.process.kill("SIGSTOP");
    expect(await ended).toMatchObject({ error: { code: "ETIMEDOUT" } });
    expect((await Promise.all(failures)).map(({ code }) => code)).toEqual(["ETIMEDOUT", "ETIMEDOUT"]);
    // The piece for which `write` returned false, and what the channel takes ahead.
    for (const channel of [busy, deaf]) expect(channel.writableLength).toBeLessThan(131_072 + 2 * 32_768);
    const line = child.line();
    child.process.kill("SIGCONT");
    expect(await line).toMatch(/^ended (?:ERR_TRANSPORT|ETIMEDOUT)$/);
    // Its program goes on.
    const again = await dial(port);
    const channel = await again.open("load");
    channel.end("still there");
    const [echo] = (await once(channel, "data")) as [Buffer];
    expect(String(echo)).toBe("still there");
  });
});
