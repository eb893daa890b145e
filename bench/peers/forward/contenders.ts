/**
 * Two joined servers: of NATS by a route, of mosquitto by a bridge, of Redis a master and its replica. Each program
 * uses one of the two.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender, SideRequest } from "../../contract.js";
import { programFile } from "../../places.js";
import { Broker } from "../broker.js";
import { sideArguments } from "../node/side.js";
import { freePort } from "../ports.js";
import { ask } from "../tools.js";

const MAIN = programFile("peers/forward/main");

/** Ports of the two servers: the publisher uses the first, the subscriber the second. */
interface Pair {
  readonly publisher: number;
  readonly subscriber: number;
}

function command(protocol: string, pair: Pair | undefined, side: SideRequest, ca: string) {
  const port = pair?.[side.role === "publisher" ? "publisher" : "subscriber"] ?? 0;
  const options = { ...side.options, port: String(port), ...(ca === "" ? {} : { ca }) };
  return { file: process.execPath, args: [MAIN, protocol, ...sideArguments({ ...side, options })] };
}

/** @returns why a program is unavailable; `undefined` if it is available */
async function programAbsent(program: string, flag: string): Promise<string | undefined> {
  const { code } = await ask(program, [flag]);
  return code !== null && code < 127
    ? undefined
    : `not here: the program ${program}; install it (Debian: apt install ${program})`;
}

// --- NATS --------------------------------------------------------------------------------------------------------------

const READY = /Listening for client connections on .*:(\d+)/;
const ROUTED = /Route connection created/;

let natsBrokers: Broker[] = [];
let natsPairs: Readonly<Record<"plain" | "tls", Pair>> | undefined;
let certificates = "";

/** Larger limits for slow consumers than the defaults: a run must not lose messages. */
function natsConfiguration(routePort: number, other: number | undefined, tls: string): string {
  const route = other === undefined ? "" : `routes: ["${tls === "" ? "nats" : "tls"}://127.0.0.1:${other}"]`;
  return `
host: "127.0.0.1"
port: -1
max_payload: 8MB
max_pending: 1GB
write_deadline: "60s"
${tls}
cluster { name: "bench", host: "127.0.0.1", port: ${routePort}, ${route}
${tls} }
`;
}

async function startNats(routePort: number, other: number | undefined, tls: string): Promise<number> {
  const args = async (folder: string) => {
    const file = join(folder, "nats.conf");
    await writeFile(file, natsConfiguration(routePort, other, tls));
    return ["--config", file];
  };
  // The second server is ready when it has its route; an earlier line has its client port.
  let port = 0;
  const started = await Broker.start("nats-server", args, other === undefined ? READY : ROUTED, (line) => {
    const found = READY.exec(line);
    if (found !== null) port = Number(found[1]);
  });
  natsBrokers.push(started.broker);
  return other === undefined ? Number(started.match[1]) : port;
}

async function natsPair(tls: string): Promise<Pair> {
  const [first, second] = [await freePort(), await freePort()];
  const publisher = await startNats(first, undefined, tls);
  return { publisher, subscriber: await startNats(second, first, tls) };
}

/** A self-signed certificate for 127.0.0.1. */
function makeCertificate(folder: string): void {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"];
  const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const args = ["req", "-x509", ...key, "-out", "cert.pem", "-days", "2", ...name];
  execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
}

export const natsRoute: Contender = {
  name: "nats-route",
  title: "NATS, two servers and a route",
  absent: () => programAbsent("nats-server", "--version"),
  supports: (scenario) => scenario === "cluster-forward" || scenario === "cluster-forward-secure",
  command: (side) =>
    side.scenario === "cluster-forward"
      ? command("nats", natsPairs?.plain, side, "")
      : command("nats", natsPairs?.tls, side, join(certificates, "cert.pem")),
  async version() {
    return (await ask("nats-server", ["--version"])).stdout.trim().replace(": v", " ");
  },
  async prepare() {
    certificates = await mkdtemp(join(tmpdir(), "shoal-bench-tls-"));
    makeCertificate(certificates);
    const at = (name: string): string => JSON.stringify(join(certificates, name));
    const tls = `tls { cert_file: ${at("cert.pem")}, key_file: ${at("key.pem")}, ca_file: ${at("cert.pem")} }`;
    natsPairs = { plain: await natsPair(""), tls: await natsPair(tls) };
  },
  async dispose() {
    for (const broker of natsBrokers) await broker.stop();
    natsBrokers = [];
    if (certificates !== "") await rm(certificates, { recursive: true, force: true });
  },
};

// --- mosquitto -----------------------------------------------------------------------------------------------------------

let mosquittos: Broker[] = [];
let mosquittoPair: Pair | undefined;

/** mosquitto drops messages that a slow subscriber has not read, unless its queue is unbounded. */
async function startMosquitto(port: number, bridgeTo: number | undefined): Promise<void> {
  const lines = [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "max_queued_messages 0",
    "set_tcp_nodelay true",
    "log_type all",
    "persistence false",
  ];
  if (bridgeTo !== undefined)
    lines.push("connection bench", `address 127.0.0.1:${bridgeTo}`, "topic # out 0", "cleansession true");
  const args = async (folder: string) => {
    const file = join(folder, "mosquitto.conf");
    await writeFile(file, `${lines.join("\n")}\n`);
    return ["-c", file];
  };
  const ready =
    bridgeTo === undefined ? /mosquitto version .* running/ : /Received CONNACK|Sending PUBLISH to local/;
  mosquittos.push((await Broker.start("mosquitto", args, ready)).broker);
}

export const mosquittoBridge: Contender = {
  name: "mosquitto-bridge",
  title: "mosquitto, two with a bridge",
  absent: () => programAbsent("mosquitto", "-h"),
  supports: (scenario) => scenario === "cluster-forward",
  command: (side) => command("mqtt", mosquittoPair, side, ""),
  async version() {
    const { stdout } = await ask("mosquitto", ["-h"]);
    return stdout.split("\n")[0]?.replace("version ", "").trim();
  },
  async prepare() {
    const pair = { publisher: await freePort(), subscriber: await freePort() };
    await startMosquitto(pair.subscriber, undefined);
    await startMosquitto(pair.publisher, pair.subscriber);
    mosquittoPair = pair;
  },
  async dispose() {
    for (const broker of mosquittos) await broker.stop();
    mosquittos = [];
  },
};

// --- Redis -------------------------------------------------------------------------------------------------------------

let redisServers: Broker[] = [];
let redisPair: Pair | undefined;

/**
 * Two servers forward publications from a master to its replica; a cluster's bus would send all messages to all
 * servers.
 */
async function startRedis(port: number, master: number | undefined): Promise<void> {
  const lines = (folder: string): string[] => [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${JSON.stringify(folder)}`,
    // Nothing is stored on disk; slow replicas and subscribers are waited for, as elsewhere.
    'save ""',
    "appendonly no",
    "client-output-buffer-limit pubsub 0 0 0",
    "client-output-buffer-limit replica 0 0 0",
    "repl-diskless-sync-delay 0",
    ...(master === undefined ? [] : [`replicaof 127.0.0.1 ${master}`]),
  ];
  const args = async (folder: string) => {
    const file = join(folder, "redis.conf");
    await writeFile(file, `${lines(folder).join("\n")}\n`);
    return [file];
  };
  // The second server is ready when it has the data of the first.
  const ready = master === undefined ? /Ready to accept connections/i : /sync: Finished with success/i;
  redisServers.push((await Broker.start("redis-server", args, ready)).broker);
}

export const redisReplica: Contender = {
  name: "redis-replica",
  title: "Redis, a master and a replica",
  absent: () => programAbsent("redis-server", "--version"),
  supports: (scenario) => scenario === "cluster-forward",
  command: (side) => command("redis", redisPair, side, ""),
  async version() {
    return `redis-server ${/v=(\S+)/.exec((await ask("redis-server", ["--version"])).stdout)?.[1] ?? ""}`;
  },
  async prepare() {
    const pair = { publisher: await freePort(), subscriber: await freePort() };
    await startRedis(pair.publisher, undefined);
    await startRedis(pair.subscriber, pair.publisher);
    redisPair = pair;
  },
  async dispose() {
    for (const server of redisServers) await server.stop();
    redisServers = [];
  },
};
