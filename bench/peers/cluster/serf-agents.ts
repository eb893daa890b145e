/** `serf agent` as the agents of a cluster: SWIM as in hashicorp's memberlist, with its profile for a LAN. */
import { freePort } from "../ports.js";
import type { AgentKind, AgentLine } from "./agents.js";

const PORT = 7_946;
const RPC_PORT = 7_373;
/** ` 2026/01/01 00:00:00 [INFO] serf: EventMemberJoin: n1 127.0.0.1` */
const LINE = /serf: EventMember(Join|Failed|Leave|Reap): (\S+) /;
const READY = "==> Serf agent running!";

/** An agent keeps its ports when it is started again. */
const PORTS = new Map<string, readonly [bind: number, rpc: number]>();

export const serfAgents: AgentKind = {
  async command({ index, cluster, place, seed }) {
    const name = `n${index}`;
    let [port, rpc] = [PORT, RPC_PORT];
    if (place === undefined) {
      const known = PORTS.get(`${cluster} ${name}`) ?? [await freePort(), await freePort()];
      PORTS.set(`${cluster} ${name}`, known);
      [port, rpc] = known;
    }
    const bind = `${place?.address ?? "127.0.0.1"}:${port}`;
    const args = ["agent", "-node", name, "-bind", bind, "-rpc-addr", `127.0.0.1:${rpc}`];
    if (seed !== undefined && seed !== bind) args.push("-retry-join", seed, "-retry-interval", "1s");
    return { file: "serf", args, seed: bind };
  },
  parse(line, own): AgentLine | undefined {
    if (line === READY) return { event: "ready", name: own };
    const [, what, name] = LINE.exec(line) ?? [];
    if (what === undefined || name === undefined || name === own) return undefined;
    return { event: what === "Join" ? "up" : "down", name };
  },
};
