/** Both ends of a link: one channel at full speed, a round trip next to a busy channel, and many channels. */
import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { commence, type LinkChannel, type MultiplexLink, type MultiplexLinkOptions } from "shoal/link";
import { Bodies } from "../../../bodies.js";
import { bytesChecker, writeBytes } from "../../node-net/bytes.js";
import { connect, listen } from "../../node-net/endpoints.js";
import { Latencies } from "../histogram.js";
import type { Side } from "../side.js";
import type { Role, Roles } from "./role.js";

/** Password of a run on this host only. */
const PASSWORD = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
/** Bytes per write to the busy channel. */
const PIECE = 65_536;
const OPENED_AT_ONCE = 500;
/** Room for the windows of all channels. */
const UNREAD = 2 ** 31;
/** ms for which idle channels are measured. */
const IDLE = 1_000;
const NANOSECONDS = 1e6;

function optionsOf(side: Side): MultiplexLinkOptions {
  return {
    maxChannels: 20_000,
    maxUnread: UNREAD,
    ...(side.option("encrypted", "no") === "yes" && { password: PASSWORD }),
  };
}

/** Listens, and creates a link over the first connection. */
async function accept(
  side: Side,
  onChannel: (channel: LinkChannel) => void,
): Promise<{ endpoint: string; close(): Promise<void> }> {
  let link: Promise<MultiplexLink> | undefined;
  const { server, endpoint } = await listen(side, 1, (socket) => {
    link = commence(socket, {
      ...optionsOf(side),
      role: "acceptor",
      onChannel: (channel) => onChannel(channel.on("error", ignore)),
    });
  });
  const close = async () => {
    server.close();
    await (await link)?.close({ linger: 0 });
  };
  return { endpoint, close };
}

async function join(side: Side): Promise<MultiplexLink> {
  return commence(await connect(side), { ...optionsOf(side), role: "dialler" });
}

// --- One channel -----------------------------------------------------------------------------------------------------

const consumer: Role = async (side) => {
  const checker = bytesChecker(side);
  const { endpoint, close } = await accept(side, (channel) => {
    channel.on("data", (piece: Buffer) => checker.take(piece));
  });
  await side.ready(endpoint);
  await checker.finished;
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
  await close();
};

const producer: Role = async (side) => {
  const link = await join(side);
  const channel = await link.open("bytes");
  await side.ready();
  await writeBytes(side, channel);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await link.close();
};

// --- A round trip next to a busy channel -------------------------------------------------------------------------------

const delayServer: Role = async (side) => {
  const { endpoint, close } = await accept(side, (channel) => {
    if (channel.name === "busy") channel.resume();
    else channel.on("data", (chunk: Buffer) => channel.write(chunk));
  });
  await serveUntilStopped(side, endpoint, () => ({}));
  await close();
};

const delayClient: Role = async (side) => {
  const link = await join(side);
  const echo = await link.open("echo");
  const busy = side.number("busy", 0) * 2 ** 20;
  const bodies = new Bodies(side.size);
  const checker = side.checker();
  const latencies = new Latencies();
  await side.ready();
  let isOver = false;
  let sent = 0;
  const working =
    busy === 0
      ? Promise.resolve()
      : keepBusy(
          link,
          busy,
          () => isOver,
          (bytes) => (sent += bytes),
        );
  let sentBefore = 0;
  let begunAt = 0;
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) {
      side.begin();
      begunAt = performance.now();
      sentBefore = sent;
    }
    const from = performance.now();
    const reply = await roundTrip(echo, bodies.make(k));
    if (k >= side.warmup) latencies.record((performance.now() - from) * NANOSECONDS);
    checker.take(reply);
  }
  side.end();
  isOver = true;
  const seconds = (performance.now() - begunAt) / 1e3;
  const megabytes = (sent - sentBefore) / 1e6;
  // The server ends when this side is done, and the link with it.
  await working;
  const { checksum, ordered } = checker;
  await side.done({
    messages: side.count,
    bytes: side.count * side.size,
    checksum,
    ordered,
    latency: latencies.table,
    extra: { busyMegabytesPerSecond: megabytes / seconds },
  });
  await link.close({ linger: 0 });
};

/** Transfers of this many bytes, one after the other, each on a separate channel. */
async function keepBusy(
  link: MultiplexLink,
  bytes: number,
  isOver: () => boolean,
  onSent: (bytes: number) => void,
): Promise<void> {
  const piece = Buffer.alloc(PIECE, 1);
  while (!isOver()) {
    const channel = (await link.open("busy")).on("error", ignore);
    channel.resume();
    for (let left = bytes; left > 0 && !isOver(); left -= PIECE) {
      onSent(PIECE);
      if (!channel.write(piece)) await new Promise((resolve) => channel.once("drain", resolve));
    }
    await new Promise<void>((resolve) => channel.end(resolve));
  }
}

// --- Many channels -----------------------------------------------------------------------------------------------------

const channelsServer: Role = async (side) => {
  const before = collected();
  const { endpoint, close } = await accept(side, (channel) => {
    channel.on("data", (chunk: Buffer) => channel.write(chunk));
  });
  await serveUntilStopped(side, endpoint, () => ({
    bytesPerChannel: (collected() - before) / side.number("channels", 1),
  }));
  await close();
};

const channelsClient: Role = async (side) => {
  const link = await join(side);
  const bodies = new Bodies(side.size);
  const warm = await link.open("first");
  await roundTrip(warm, bodies.make(0));
  await side.ready();
  const before = collected();
  const channels: LinkChannel[] = [];
  for (let at = 0; at < side.count; at += OPENED_AT_ONCE) {
    const several = Array.from({ length: Math.min(OPENED_AT_ONCE, side.count - at) }, (_, i) =>
      link.open(`${at + i}`),
    );
    channels.push(...(await Promise.all(several)));
  }
  await Promise.all(channels.map((channel, k) => roundTrip(channel, bodies.makeOwn(k))));
  side.end();
  const bytesPerChannel = (collected() - before) / side.count;
  const { user, system } = process.cpuUsage();
  await pause(IDLE);
  const idle = process.cpuUsage({ user, system });
  await side.done({
    messages: channels.length,
    bytes: side.count * side.size,
    extra: { bytesPerChannel, idleMilliseconds: (idle.user + idle.system) / 1e3 },
  });
  await link.close({ linger: 0 });
};

/** Used bytes after a collection. Resident memory would depend on the process's past. */
function collected(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function serveUntilStopped(
  side: Side,
  endpoint: string,
  extra: () => Record<string, number>,
): Promise<void> {
  await side.ready(endpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0, extra: extra() });
}

/** A channel is a stream, so one write may arrive in parts. */
function roundTrip(channel: LinkChannel, body: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let missing = body.length;
    const onData = (part: Buffer): void => {
      parts.push(part);
      missing -= part.length;
      if (missing > 0) return;
      channel.off("data", onData);
      resolve(Buffer.concat(parts));
    };
    channel.on("data", onData);
    channel.write(body);
  });
}

function ignore(): void {}

const byScenario =
  (delay: Role, channels: Role): Role =>
  (side, kit) =>
    side.scenario === "link-delay" ? delay(side, kit) : channels(side, kit);

export const roles: Roles = {
  consumer,
  producer,
  server: byScenario(delayServer, channelsServer),
  client: byScenario(delayClient, channelsClient),
};
