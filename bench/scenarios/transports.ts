/** Other transports than tcp: the same stream over ws and tls, and over tcp as an implementation to compare with. */
import { makeCertificate } from "../certificate.js";
import type { RoleSpec, Scenario } from "../contract.js";
import { oneOf, streamsOf } from "./kit.js";

const STREAM = {
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  smokeSizes: [64],
  count({ size }, smoke) {
    const count = smoke ? 3_000 : Math.round(Math.min(200_000, 2 ** 28 / size));
    return { count, warmup: Math.ceil(count / 10) };
  },
  result([consumer], { size }) {
    const { messages = 0, seconds = 0 } = consumer ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
  // A sender reaches its full speed after two million messages, more than a cold second's worth.
  warmups: 3,
  references: ["shoal-zmtp-tcp"],
} as const satisfies Partial<Scenario>;

const CLIENTS = ["consumer", "producer"] as const;

/** A client masks sent frames (RFC 6455), so it matters which side connects. */
export const ws: Scenario = {
  ...STREAM,
  name: "ws",
  question: "How many messages a second go one way over WebSocket, and how many over tcp?",
  transports: ["ws"],
  sizes: [64, 1_024],
  parameters: {
    client: {
      values: CLIENTS,
      smoke: CLIENTS,
      help: "the side that connects; a client masks sent frames",
    },
  },
  roles({ size, parameters }, count, warmup) {
    const client = oneOf(parameters, "client", CLIENTS);
    return stream(size, count, warmup, client, {}, {});
  },
};

export const tls: Scenario = {
  ...STREAM,
  name: "tls",
  question: "How many messages a second go one way over TLS, and how many over tcp?",
  transports: ["tls"],
  sizes: [64, 1_024, 65_536],
  parameters: {},
  roles({ size }, count, warmup) {
    const { cert, key } = makeCertificate();
    return stream(size, count, warmup, "producer", { tlsCert: cert, tlsKey: key }, { tlsCa: cert });
  },
};

function stream(
  size: number,
  count: number,
  warmup: number,
  client: (typeof CLIENTS)[number],
  serverOptions: NonNullable<RoleSpec["options"]>,
  clientOptions: NonNullable<RoleSpec["options"]>,
): readonly RoleSpec[] {
  const attached = (role: string) =>
    role === client
      ? { options: { ...clientOptions, attach: "connect" } }
      : { binds: true, options: { ...serverOptions, attach: "bind" } };
  const consumer: RoleSpec = {
    role: "consumer",
    measured: true,
    ...attached("consumer"),
    expects: streamsOf(1, size, warmup, count),
  };
  const producer: RoleSpec = {
    role: "producer",
    ...attached("producer"),
    expects: { messages: count, bytes: count * size },
  };
  return client === "producer" ? [consumer, producer] : [producer, consumer];
}
