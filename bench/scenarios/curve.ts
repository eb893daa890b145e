import { curveKeyPair } from "shoal";
import { expectedChecksum } from "../bodies.js";
import type { RoleSpec, Scenario } from "../contract.js";

/** The same stream in the clear and encrypted. */
export const curve: Scenario = {
  name: "curve",
  question: "What does CURVE cost a stream of messages?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp"],
  sizes: [64, 1_024, 65_536],
  smokeSizes: [64],
  parameters: {
    security: { values: ["null", "curve"], smoke: ["null", "curve"], help: "the mechanism" },
  },
  count({ size }, smoke) {
    const count = smoke ? 3_000 : Math.round(Math.min(100_000, 2 ** 29 / size));
    return { count, warmup: Math.ceil(count / 10) };
  },
  roles({ size, parameters }, count, warmup): readonly RoleSpec[] {
    const server = curveKeyPair();
    const client = curveKeyPair();
    const secure = parameters.security === "curve";
    const keys = ({ publicKey, secretKey }: typeof server) => ({
      "public-key": publicKey,
      "secret-key": secretKey,
    });
    return [
      {
        role: "consumer",
        binds: true,
        measured: true,
        ...(secure ? { options: keys(server) } : {}),
        expects: {
          messages: count,
          bytes: count * size,
          checksum: expectedChecksum(size, warmup, count),
          ordered: true,
        },
      },
      {
        role: "producer",
        ...(secure ? { options: { ...keys(client), "server-key": server.publicKey } } : {}),
        expects: { messages: count, bytes: count * size },
      },
    ];
  },
  result([consumer], { size }) {
    const { messages = 0, seconds = 0 } = consumer ?? {};
    const messagesPerSecond = messages / seconds;
    return { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 };
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
};
