/**
 * Reference for Majordomo: the same processes with plain sockets, without detection of failures.
 *
 *   DEALER client --tcp--> ROUTER broker DEALER --tcp--> DEALER worker, which returns each message
 */
import type { Kit } from "../kit.js";
import type { Side } from "../side.js";
import { type Asker, askOnSchedule, askPipelined } from "./asking.js";
import { backendOf, caseOptions } from "./case-options.js";
import { COPIED, isLarge } from "./push-pull.js";
import type { Role, Roles } from "./role.js";

type Dealer = InstanceType<Kit["Dealer"]>;
type Router = InstanceType<Kit["Router"]>;
type Message = [Buffer, ...Buffer[]];

/**
 * Receives all messages until the socket closes, in batches if the library has them.
 *
 * @param leased whether their memory is reused after `take`
 */
export async function receiveAll(
  kit: Kit,
  socket: Dealer | Router,
  take: (message: Message) => Promise<void> | undefined,
  leased = false,
): Promise<void> {
  if (leased) {
    for await (const batch of socket.batches()) {
      for (const message of batch) {
        const full = take(message as Message);
        if (full !== undefined) await full;
      }
      batch[Symbol.dispose]();
    }
    return;
  }
  if (!kit.shoal) {
    for await (const message of socket) await take(message as Message);
    return;
  }
  try {
    for (;;) {
      for (const message of await socket.receiveMany({ max: 512 })) {
        const full = take(message as Message);
        if (full !== undefined) await full;
      }
    }
  } catch (error) {
    if (!socket.closed) throw error;
  }
}

/**
 * @param copied whether the socket copies within the call
 * @returns `undefined` if it was accepted at once, otherwise a promise of that
 */
export function send(
  kit: Kit,
  socket: Dealer | Router,
  message: Message,
  copied = false,
): Promise<void> | undefined {
  const dealer = socket as Dealer; // The types of a ROUTER require two frames; here the first is an address already.
  if (copied) return dealer.trySend(message, COPIED) ? undefined : dealer.send(message, COPIED);
  return kit.shoal && dealer.trySend(message) ? undefined : dealer.send(message);
}

const broker: Role = async (side, kit) => {
  const options = caseOptions(side, "both");
  const frontend = new kit.Router(options);
  const backend = new kit.Dealer(options);
  await frontend.bind(side.endpoint);
  await backend.bind(backendOf(side.endpoint));
  const passing = [
    receiveAll(kit, frontend, (message) => send(kit, backend, message)),
    receiveAll(kit, backend, (message) => send(kit, frontend, message)),
  ];
  await side.ready(frontend.lastEndpoint, backend.lastEndpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await frontend.close();
  await backend.close();
  await Promise.all(passing);
};

const worker: Role = async (side, kit) => {
  const socket = new kit.Dealer(caseOptions(side, "both"));
  socket.connect(side.endpoint);
  const copies = kit.batch && isLarge(side);
  let handled = 0;
  const giveBack = (message: Message) => {
    handled++;
    return send(kit, socket, message, copies);
  };
  const giveBackMany = async () => {
    for await (const batch of socket.batches()) {
      const messages = batch.keep();
      for (const message of messages) if (!socket.trySend(message)) await socket.send(message);
      handled += messages.length;
    }
  };
  const working = kit.batch && !copies ? giveBackMany() : receiveAll(kit, socket, giveBack, copies);
  await side.ready();
  await side.stopped;
  await side.done({ messages: handled, bytes: handled * side.size });
  await socket.close();
  await working;
};

/** A DEALER as a client of plain sockets: the reply is the returned message. */
export function plainAsker(side: Side, kit: Kit): Asker {
  const socket = new kit.Dealer(caseOptions(side, "both"));
  socket.connect(side.endpoint);
  const copies = kit.batch && isLarge(side);
  const options = copies ? COPIED : undefined;
  // Sends are queued: the package zeromq refuses a second one while the first waits.
  let line = Promise.resolve();
  let waiting = 0;
  const self: Asker = {
    copies,
    ask(_, body) {
      if (waiting === 0 && kit.shoal && socket.trySend(body, options)) return;
      waiting++;
      const own = copies ? Buffer.from(body) : body; // It is sent later.
      line = line.then(() => socket.send(own)).then(() => void waiting--);
    },
    onReply: () => undefined,
    async close() {
      await socket.close();
      await replies;
    },
  };
  const replies = receiveAll(
    kit,
    socket,
    ([reply]) => {
      self.onReply(reply);
      return undefined;
    },
    copies,
  );
  return self;
}

const client: Role = (side, kit) =>
  side.scenario === "majordomo-under-load"
    ? askOnSchedule(side, plainAsker(side, kit))
    : askPipelined(side, plainAsker(side, kit));

export const roles: Roles = { broker, worker, client };
