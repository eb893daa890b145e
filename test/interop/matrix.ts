/**
 * The matrix of one kind of peer: every pair of socket types with every engine of
 * ours, over tcp and ipc, with NULL, PLAIN and CURVE, with either side binding,
 * authenticating, and coming first.
 *
 * All of it is SHOAL_LONG=1. Otherwise the zmtp engine alone meets others, and mechanisms and guards take turns: over tcp
 * every pair meets pyzmq, with each side binding and each first; other transports and peers have a sample of these.
 */
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import { LONG } from "../support/long.js";
import { converse, optionsOfType, PAIRS, type Party, type TypeName } from "./converse.js";
import { Endpoints, type Transport } from "./endpoints.js";
import { OURS } from "./kinds.js";
import { authenticate, MECHANISMS, type Mechanism, optionsOf } from "./mechanisms.js";
import { LocalPeer, type Peer } from "./peer.js";

/** Messages of one conversation; the 51st has 1 MiB. */
const COUNT = LONG ? 300 : 54;

/** One case of so many, where there is a sample. It has no factor in common with what takes turns. */
const SAMPLE = 11;

const SIDES = ["ours", "theirs"] as const;
type Side = (typeof SIDES)[number];

interface Case {
  readonly our: TypeName;
  readonly their: TypeName;
  readonly transport: Transport;
  readonly mechanism: Mechanism;
  readonly binder: Side;
  /** The mechanism's server. */
  readonly guard: Side;
  readonly first: Side;
}

/** Sides whose REQ cannot be a mechanism's server: libzmq's then drops every reply, also another libzmq's. */
function guardsOf(our: TypeName, their: TypeName, libzmq: Readonly<Record<Side, boolean>>): readonly Side[] {
  const types = { ours: our, theirs: their };
  return SIDES.filter((side) => types[side] !== "REQ" || !libzmq[side]);
}

/** Each pair over every transport, binder and order; the rest in turn, or all of it. */
function casesOf(
  long: boolean,
  libzmq: Readonly<Record<Side, boolean>>,
  transports: readonly Transport[],
): Case[] {
  const cases: Case[] = [];
  for (const [pairAt, [our, their]] of PAIRS.entries()) {
    const raw = our === "STREAM";
    const guards = guardsOf(our, their, libzmq);
    let turn = pairAt;
    for (const transport of raw ? (["tcp"] as const) : transports) {
      for (const binder of SIDES) {
        for (const first of SIDES) {
          turn += 1;
          const inTurn = MECHANISMS[turn % MECHANISMS.length] as Mechanism;
          for (const mechanism of raw ? (["NULL"] as const) : long ? MECHANISMS : [inTurn]) {
            const some = long && mechanism !== "NULL" ? guards : [guards[turn % guards.length] as Side];
            for (const guard of some) cases.push({ our, their, transport, mechanism, binder, guard, first });
          }
        }
      }
    }
  }
  return cases;
}

function titleOf({ our, their, transport, mechanism, binder, guard, first }: Case): string {
  const how = [binder === "ours" ? "bound" : "connected", first === "ours" ? "first" : "second"];
  if (mechanism !== "NULL") how.push(guard === "ours" ? `${mechanism} server` : `${mechanism} client`);
  return `our ${our} (${how.join(", ")}) and their ${their} over ${transport}`;
}

/**
 * Defines the tests against one kind of peer.
 *
 * @param skip why it cannot be had here
 * @param engines ours
 */
export function describeMatrix(
  title: string,
  startTheirs: () => Promise<Peer>,
  skip: string | false,
  engines: readonly string[] = OURS,
  transports: readonly Transport[] = ["tcp", "ipc"],
): void {
  describe.skipIf(skip).each(engines)(
    `engine %s and ${title} exchange everything in order:${skip ? ` skipped, ${skip}` : ""}`,
    (engine) => {
      const endpoints = new Endpoints();
      const peers = {} as Record<Side, Peer>;

      beforeAll(async () => {
        peers.ours = await LocalPeer.start(engine);
        peers.theirs = await startTheirs();
      });

      afterEach(async () => {
        await Promise.all(SIDES.map((side) => peers[side].call("close_all")));
      });

      afterAll(async () => {
        await Promise.all(SIDES.map((side) => peers[side]?.stop()));
      });

      const libzmq = { ours: engine === "libzmq", theirs: title !== "engine zmtp" };
      const cases = casesOf(LONG, libzmq, transports).filter(
        ({ transport }, at) => LONG || (title === "pyzmq" && transport === "tcp") || at % SAMPLE === 0,
      );
      it.each(cases.map((each) => [titleOf(each), each] as const))("%s", async (_, each) => {
        const { transport, mechanism, binder, guard, first } = each;
        const endpoint = await endpoints.free(transport);
        const begin = async (side: Side): Promise<Party> => {
          const type = side === "ours" ? each.our : each.their;
          if (mechanism !== "NULL" && guard === side) await authenticate(peers[side]);
          const socket = await peers[side].open(type, {
            ...optionsOfType(type, side),
            ...optionsOf(mechanism, guard === side ? "server" : "client"),
          });
          if (type === "SUB") await socket.call("subscribe");
          if (binder === side) await socket.bind(endpoint);
          else await socket.connect(endpoint);
          return { socket, type, routingId: side };
        };
        const one = await begin(first);
        const other = await begin(first === "ours" ? "theirs" : "ours");
        await converse(one, other, COUNT);
      });
    },
  );
}
