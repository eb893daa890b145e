/**
 * A program is killed without a word (SIGKILL) and started again: one of ours,
 * or one that talks to ours. All pairs of socket types are connected at once,
 * so that one killing meets them all.
 *
 * The one that stays hears that its peers are gone; what it then sends waits,
 * where its type has a queue for the endpoint, and reaches the successor in
 * order. All conversations go on with the successor.
 *
 * SHOAL_LONG=1 has every peer over every transport with every mechanism; otherwise ours and pyzmq, either as the one that is killed.
 */
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { converse, optionsOfType, PAIRS, type Party, type TypeName, tell } from "./converse.js";
import { Endpoints, type Transport } from "./endpoints.js";
import { engineKind, OTHERS, OURS, useSurvivor } from "./kinds.js";
import { authenticate, MECHANISMS, type Mechanism, optionsOf } from "./mechanisms.js";
import type { Peer } from "./peer.js";

/** Messages of one conversation. */
const COUNT = 18;

const ROLES = ["survivor", "victim"] as const;
type Role = (typeof ROLES)[number];
const TRANSPORTS = ["tcp", "ipc"] as const;

interface Case {
  readonly transport: Transport;
  readonly mechanism: Mechanism;
  readonly binder: Role;
}

function casesOf(turn: number, bound: Role): Case[] {
  const all = TRANSPORTS.flatMap((transport) => MECHANISMS.map((mechanism) => ({ transport, mechanism })));
  if (LONG)
    return all.map((each, at) => ({
      ...each,
      binder: ROLES[(at + (at >> 1) + turn) % ROLES.length] as Role,
    }));
  return [{ ...(all[turn % all.length] as (typeof all)[number]), binder: bound }];
}

/** A pair of sockets, one in each program. */
interface Link {
  readonly types: Readonly<Record<Role, TypeName>>;
  endpoint: string;
  survivor: Party | undefined;
  victim: Party | undefined;
}

/** Opens one end of each link, and binds or connects it. */
async function open(
  links: Link[],
  role: Role,
  peer: Peer,
  { mechanism, binder }: Case,
  routingId: string = role,
): Promise<void> {
  if (mechanism !== "NULL") await authenticate(peer);
  for (const link of links) {
    const type = link.types[role];
    // A REQ of libzmq cannot be the server of a mechanism: then the other end is.
    const guard = link.types[binder] === "REQ" ? (binder === "victim" ? "survivor" : "victim") : binder;
    const socket = await peer.open(type, {
      ...optionsOfType(type, routingId),
      ...optionsOf(mechanism, guard === role ? "server" : "client"),
    });
    if (type === "SUB") await socket.call("subscribe");
    if (binder === role) link.endpoint = await socket.bind(link.endpoint);
    else await socket.connect(link.endpoint);
    link[role] = { socket, type, routingId };
  }
}

/** @param after the killing: a subscriber that stayed has subscribed, and a publisher may know */
async function talk({ types, survivor, victim }: Link, after: boolean, knows = false): Promise<void> {
  try {
    if (after && knows && types.survivor === "XPUB") {
      if (types.victim === "XSUB") await victim?.socket.send(Buffer.from([1]));
      await tell(survivor as Party, victim as Party, COUNT, 21);
    } else await converse(survivor as Party, victim as Party, COUNT, after && types.survivor === "XSUB");
  } catch (error) {
    throw new Error(`${types.survivor}-${types.victim}: ${String(error)}`);
  }
}

/** Types that have a queue for an endpoint they are connected to, with what goes before a message and arrives before it. */
const QUEUES: Readonly<Record<string, { prefix: string[]; strip: number }>> = {
  "PUSH-PULL": { prefix: [], strip: 0 },
  "DEALER-ROUTER": { prefix: [], strip: 1 },
  "DEALER-DEALER": { prefix: [], strip: 0 },
  "DEALER-REP": { prefix: [""], strip: 0 },
  "PAIR-PAIR": { prefix: [], strip: 0 },
};

describe.each(OURS)("engine %s", (engine) => {
  const ours = engineKind(engine);
  for (const [at, theirs] of OTHERS.entries()) {
    for (const dead of ["ours", "theirs"] as const) {
      if (dead === "theirs" && theirs.title === ours.title) continue; // The same as the other way round.
      const [survives, dies] = dead === "ours" ? [theirs, ours] : [ours, theirs];
      const title = `${survives.title} goes on when ${dies.title} is killed and comes back`;
      describe.skipIf(theirs.skip)(`${title}${theirs.skip ? `: skipped, ${theirs.skip}` : ""}`, () => {
        const endpoints = new Endpoints();
        const { survivor, start } = useSurvivor(survives);
        const second = dead === "ours" ? 1 : 0;
        const cases = casesOf(2 * at + second, ROLES[(at + second) % ROLES.length] as Role);
        it.each(
          cases.map((each) => [each.transport, each.mechanism, each.binder, each] as const),
        )("over %s with %s; the %s is bound", async (_transport, _mechanism, _binder, each) => {
          const links: Link[] = [];
          for (const [a, b] of PAIRS) {
            if (a === "STREAM") continue; // It has no handshake, and no messages to be kept.
            const types = { survivor: a, victim: b };
            const endpoint = each.transport === "tcp" ? "tcp://127.0.0.1:*" : await endpoints.free("ipc");
            links.push({ types, endpoint, survivor: undefined, victim: undefined });
          }
          const other: Role = each.binder === "survivor" ? "victim" : "survivor";
          const peers = { survivor: survivor(), victim: await start(dies) };
          await open(links, each.binder, peers[each.binder], each);
          await open(links, other, peers[other], each);
          for (const link of links) await talk(link, false);

          await peers.victim.child.kill();
          for (const { survivor: party } of links) await party?.socket.call("wait", { leaves: 1 });

          // libzmq's publisher that connects keeps its peer's subscriptions, and says nothing of them.
          const remembers = each.binder === "victim" && survives.title !== "engine zmtp";
          const queued: Link[] = [];
          for (const link of links) {
            const queue = QUEUES[`${link.types.survivor}-${link.types.victim}`];
            if (link.types.survivor === "XPUB" && !remembers) {
              // It hears that its subscriber has gone.
              expect(await link.survivor?.socket.receive()).toEqual([Buffer.from([0])]);
            }
            if (queue === undefined || each.binder === "survivor") continue;
            queued.push(link);
            const prefix = queue.prefix.map((frame) => Buffer.from(frame).toString("base64"));
            await link.survivor?.socket.call("send", { count: COUNT, seed: 20, prefix });
          }

          // libzmq lets go of a dead peer, of its place (PAIR) and its name (ROUTER, REP), only when its program looks
          // at the socket; so it has to look, and even then the name may be free too late.
          const attending = survivor().call("attend");
          peers.victim = await start(dies);
          await Promise.all([attending, survivor().call("pause")]);
          const name = survives.title === "engine zmtp" || remembers ? "victim" : "successor";
          await open(links, "victim", peers.victim, each, name);
          for (const link of queued) {
            const { strip } = QUEUES[`${link.types.survivor}-${link.types.victim}`] as { strip: number };
            if (link.types.victim === "REP") {
              // A DEALER's questions: their answers have to be read, too.
              const strips = { count: COUNT, seed: 20 };
              const echoing = link.victim?.socket.call("echo", { ...strips, strip: 0 });
              await link.survivor?.socket.call("receive", { ...strips, strip: 1 });
              await echoing;
            } else await link.victim?.socket.call("receive", { count: COUNT, seed: 20, strip });
          }
          for (const link of links) {
            await talk(link, true, remembers);
          }
        });
      });
    }
  }
});
