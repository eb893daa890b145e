/** A service of each pattern that answers requests: a server, and a client of it. */
import type { Codec } from "../../src/index.js";
import * as patterns from "../../src/patterns/index.js";
import { gate } from "../support/gate.js";

/** A handler whose requests end, with themselves, when the test says so. */
export function held(): {
  handler(frames: readonly Buffer[]): Promise<Buffer[]>;
  readonly started: Promise<void>;
  open(): void;
} {
  const { passed: started, open: start } = gate();
  const { passed: finished, open } = gate();
  const handler = async (frames: readonly Buffer[]): Promise<Buffer[]> => {
    start();
    await finished;
    return [...frames];
  };
  return { handler, started, open };
}

export interface ServiceOptions {
  readonly handler?: patterns.PirateHandler;
  /** Of all sockets of both ends. */
  readonly socketOptions?: object;
  /** Of the client's requests. */
  readonly codec?: Codec<string>;
}

export type Ask = (body: string, options?: { readonly signal: AbortSignal }) => Promise<Buffer[]>;
type Keep = <T extends { close(): Promise<unknown> }>(thing: T) => T;
type Start = (keep: Keep, options?: ServiceOptions) => Promise<Ask>;

const ANY = "tcp://127.0.0.1:*";
const NOBODY = "tcp://127.0.0.1:1";
const echo: patterns.PirateHandler = ([body]) => body as Buffer;

function parts({ handler = echo, socketOptions = {}, codec }: ServiceOptions = {}) {
  const sockets = { socketOptions };
  return {
    handler,
    sockets,
    asking: { ...sockets, ...(codec === undefined ? {} : { requestCodec: codec }) },
    freelance: { ...sockets, ...(codec === undefined ? {} : { codec }) },
  };
}

function freelance(
  model: 1 | 2 | 3,
  Client:
    | typeof patterns.FreelanceClient
    | typeof patterns.FreelanceFailoverClient
    | typeof patterns.FreelanceShotgunClient,
): Start {
  return async (keep, options) => {
    const { handler, sockets, freelance: own } = parts(options);
    const endpoint = await keep(new patterns.FreelanceServer(handler, { model, ...sockets })).bind(ANY);
    const client = keep(new (Client as typeof patterns.FreelanceClient)(endpoint, own as object));
    return (body, wait) => client.request(body, wait);
  };
}

type Client =
  | `Freelance${"" | "Failover" | "Shotgun"}Client`
  | `${"BinaryStar" | "LoadBalancer" | "Majordomo" | "Pirate"}Client`;

/** By the name of the client. */
export const SERVICES: Readonly<Record<Client, Start>> = {
  FreelanceClient: freelance(3, patterns.FreelanceClient),
  FreelanceFailoverClient: freelance(1, patterns.FreelanceFailoverClient),
  FreelanceShotgunClient: freelance(2, patterns.FreelanceShotgunClient),
  LoadBalancerClient: async (keep, options) => {
    const { handler, sockets, asking } = parts(options);
    const broker = keep(new patterns.LoadBalancer(sockets));
    keep(
      new patterns.PirateWorker(await broker.bind("backend", ANY), handler, {
        dialect: "simple",
        ...sockets,
      }),
    );
    const client = keep(
      new patterns.LoadBalancerClient(await broker.bind("frontend", ANY), asking as object),
    );
    return (body, wait) => client.request(body, wait);
  },
  MajordomoClient: async (keep, options) => {
    const { handler, sockets, asking } = parts(options);
    const endpoint = await keep(new patterns.MajordomoBroker(sockets)).bind(ANY);
    keep(new patterns.MajordomoWorker(endpoint, "fish", handler, sockets));
    const client = keep(new patterns.MajordomoClient(endpoint, asking as object));
    return (body, wait) => client.request("fish", body, wait);
  },
  PirateClient: async (keep, options) => {
    const { handler, sockets, asking } = parts(options);
    const queue = keep(new patterns.PirateQueue(sockets));
    keep(new patterns.PirateWorker(await queue.bind("backend", ANY), handler, sockets));
    const client = keep(new patterns.PirateClient(await queue.bind("frontend", ANY), asking as object));
    return (body, wait) => client.request(body, wait);
  },
  BinaryStarClient: async (keep, options) => {
    const { handler, sockets } = parts(options);
    const star = { role: "primary", peer: NOBODY, heartbeatInterval: 100 } as const;
    const server = keep(new patterns.BinaryStarServer(handler, { star, ...sockets }));
    const at = await server.bind("clients", ANY);
    await server.bind("state", ANY);
    const client = keep(new patterns.BinaryStarClient([at, NOBODY], sockets));
    return (body, wait) => client.request(body, wait);
  },
};
