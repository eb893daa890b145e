import { curveKeyPair } from "shoal";
import type { RoleSpec, Scenario } from "../contract.js";
import { proxy } from "./proxy.js";

/** The forwarder of the scenario `proxy`, with a policy. */
export const proxyPolicy: Scenario = {
  name: "proxy-policy",
  question: "What does a policy cost a proxy between one publisher and one subscriber?",
  metric: { name: "messagesPerSecond", unit: "msg/s", better: "higher" },
  transports: ["tcp"],
  sizes: [64, 1_024, 65_536],
  smokeSizes: [64],
  parameters: {
    policy: {
      values: ["none", "topics", "rates", "curve"],
      smoke: ["none", "topics", "rates", "curve"],
      help: "nothing; topic lists of 200 prefixes on both sides; rates on both; CURVE for the subscribers, plain for the publisher",
    },
  },
  count(chosen, smoke) {
    return proxy.count(asForwarder(chosen), smoke);
  },
  roles(chosen, count, warmup): readonly RoleSpec[] {
    const server = curveKeyPair();
    const client = curveKeyPair();
    const secure = chosen.parameters.policy === "curve";
    const keys = ({ publicKey, secretKey }: typeof server) => ({
      security: "curve",
      "public-key": publicKey,
      "secret-key": secretKey,
    });
    const more: Record<string, object> = !secure
      ? {}
      : { proxy: keys(server), subscriber: { ...keys(client), "server-key": server.publicKey } };
    return proxy.roles(asForwarder(chosen), count, warmup).map((spec) => ({
      ...spec,
      options: { ...spec.options, ...more[spec.role], kind: "forwarder" },
    }));
  },
  result(done, chosen) {
    return proxy.result(done, asForwarder(chosen));
  },
  columns: [{ name: "megabytesPerSecond", title: "MB/s", unit: "MB/s" }],
};

function asForwarder<C extends { readonly parameters: object }>(chosen: C): C {
  return { ...chosen, parameters: { ...chosen.parameters, kind: "forwarder" } };
}
