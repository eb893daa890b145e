/** REQ and REP, one message in flight at a time. */
import { Bodies } from "../../../bodies.js";
import { Latencies } from "../histogram.js";
import type { Kit } from "../kit.js";
import type { Outcome, Side } from "../side.js";
import type { Role, Roles } from "./role.js";

type Reply = InstanceType<Kit["Reply"]>;
type Request = InstanceType<Kit["Request"]>;

async function answer(reply: Reply, side: Side): Promise<void> {
  const total = side.warmup + side.count;
  for (let k = 0; k < total; k++) {
    const [message] = await reply.receive();
    if (k === side.warmup) side.begin();
    await reply.send(message as Buffer);
  }
}

async function ask(request: Request, side: Side): Promise<Outcome> {
  const bodies = new Bodies(side.size);
  const checker = side.checker();
  const latencies = new Latencies();
  const total = side.warmup + side.count;
  for (let k = 0; k < total; k++) {
    if (k === side.warmup) side.begin();
    const message = bodies.make(k);
    const from = process.hrtime.bigint();
    await request.send(message);
    const [reply] = await request.receive();
    const nanoseconds = Number(process.hrtime.bigint() - from);
    checker.take(reply as Buffer);
    if (k >= side.warmup) latencies.record(nanoseconds);
  }
  side.end();
  const { checksum, ordered } = checker;
  const latency = latencies.table;
  return { messages: side.count, bytes: side.count * side.size, checksum, ordered, latency };
}

const server: Role = async (side, kit) => {
  const reply = new kit.Reply();
  await reply.bind(side.endpoint);
  await side.ready(reply.lastEndpoint);
  await answer(reply, side);
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await reply.close();
};

const client: Role = async (side, kit) => {
  const request = new kit.Request();
  request.connect(side.endpoint);
  await side.ready();
  await side.done(await ask(request, side));
  await request.close();
};

const both: Role = async (side, kit) => {
  const reply = new kit.Reply();
  const request = new kit.Request();
  await reply.bind(side.endpoint);
  request.connect(side.endpoint);
  await side.ready();
  const [outcome] = await Promise.all([ask(request, side), answer(reply, side)]);
  await side.done(outcome);
  await request.close();
  await reply.close();
};

export const roles: Roles = { server, client, both };
