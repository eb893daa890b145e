/** Links: many channels over one stream. Costs of a channel in speed, in delay of the others, and in memory. */
import { curveKeyPair } from "shoal";
import type { Parameters, Scenario } from "../contract.js";
import { LATENCY_COLUMNS, latencyFigures, ofRole, oneOf, positive, streamsOf } from "./kit.js";

const ENCRYPTED = ["no", "yes"] as const;

/**
 * `node-net` is a plain tcp socket, encrypted or not. `shoal-zmtp-plain` is a PUSH and a PULL over tcp, which deliver
 * whole messages, with CURVE if the link is encrypted. The others are streams: their bytes are checked as they
 * arrive.
 */
export const link: Scenario = {
  name: "link",
  question: "How many bytes a second does one channel of a link carry, and how many a plain socket?",
  metric: { name: "megabytesPerSecond", unit: "MB/s", better: "higher" },
  transports: ["tcp"],
  sizes: [65_536],
  smokeSizes: [65_536],
  parameters: {
    encrypted: { values: ENCRYPTED, smoke: ENCRYPTED, help: "whether the link has a password, and encrypts" },
  },
  count({ size, parameters }, smoke) {
    oneOf(parameters, "encrypted", ENCRYPTED);
    if (smoke) return { count: 200, warmup: 20 };
    // 2 GiB after 0.5 GiB: at about 1.5 GB/s V8 compiles for much of the first 0.3 s, on a thread that shares the
    // process's core.
    return { count: Math.round(2 ** 31 / size), warmup: Math.round(2 ** 29 / size) };
  },
  roles({ size, parameters }, count, warmup) {
    const keys = parameters.encrypted === "yes" ? curveOptions() : undefined;
    return [
      {
        role: "consumer",
        binds: true,
        measured: true,
        ...(keys && { options: keys.consumer }),
        expects: streamsOf(1, size, warmup, count),
      },
      {
        role: "producer",
        ...(keys && { options: keys.producer }),
        expects: { messages: count, bytes: count * size },
      },
    ];
  },
  result([consumer], { size }) {
    const { messages = 0, seconds = 0 } = consumer ?? {};
    return { megabytesPerSecond: (messages * size) / seconds / 1e6 };
  },
  references: ["shoal-zmtp-plain", "node-net"],
};

/** CURVE options for sockets instead of the link. */
function curveOptions(): { readonly consumer: Parameters; readonly producer: Parameters } {
  const server = curveKeyPair();
  const client = curveKeyPair();
  const own = ({ publicKey, secretKey }: typeof server) => ({
    security: "curve",
    "public-key": publicKey,
    "secret-key": secretKey,
  });
  return { consumer: own(server), producer: { ...own(client), "server-key": server.publicKey } };
}

export const linkDelay: Scenario = {
  name: "link-delay",
  question: "How long does a round trip on one channel take while another channel is busy?",
  metric: { name: "p99", unit: "µs", better: "lower" },
  transports: ["tcp"],
  sizes: [64],
  smokeSizes: [64],
  parameters: {
    busy: {
      values: [0, 64],
      smoke: [0, 1],
      help: "MiB that the other channel sends repeatedly; 0: none",
    },
  },
  scales: false,
  timeout: 120,
  count({ parameters }, smoke) {
    if (smoke) return { count: 50, warmup: 10 };
    // Each round trip takes 20 times as long next to a busy channel. Alone, 2,500 take 0.1 s, in which V8 compiles
    // most of the code on a thread that shares the pinned core: that thread would be the 99th percentile.
    return parameters.busy === 0 ? { count: 20_000, warmup: 20_000 } : { count: 2_000, warmup: 500 };
  },
  roles({ size }, count, warmup) {
    return [
      { role: "server", binds: true, ends: false },
      { role: "client", measured: true, expects: streamsOf(1, size, warmup, count) },
    ];
  },
  result(done) {
    const clients = ofRole(done, "client");
    return { ...latencyFigures(clients), busyMegabytes: clients[0]?.extra?.busyMegabytesPerSecond ?? 0 };
  },
  columns: [...LATENCY_COLUMNS, { name: "busyMegabytes", title: "the other channel", unit: "MB/s" }],
  growth: "busy",
};

export const linkChannels: Scenario = {
  name: "link-channels",
  question: "How much memory does an open channel of a link cost, and how much processor time do idle ones?",
  metric: { name: "bytesPerChannel", unit: "B", better: "lower" },
  transports: ["tcp"],
  sizes: [16],
  smokeSizes: [16],
  parameters: {
    channels: { values: [1_000, 10_000], smoke: [100], help: "channels on one link, each used once" },
  },
  scales: false,
  timeout: 120,
  count: ({ parameters }) => ({ count: positive(parameters, "channels"), warmup: 0 }),
  roles(_chosen, count) {
    return [
      { role: "server", binds: true, ends: false },
      { role: "client", measured: true, expects: { messages: count } },
    ];
  },
  result(done) {
    const of = (role: string, figure: string) => ofRole(done, role)[0]?.extra?.[figure] ?? Number.NaN;
    return {
      bytesPerChannel: Math.max(of("client", "bytesPerChannel"), of("server", "bytesPerChannel")),
      idleMilliseconds: of("client", "idleMilliseconds"),
    };
  },
  columns: [{ name: "idleMilliseconds", title: "CPU in an idle second", unit: "ms" }],
  growth: "channels",
};
