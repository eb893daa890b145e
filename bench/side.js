// @ts-check
/**
 * One side of a measurement, in a process of its own.
 *
 *   node bench/side.js receive|send|reply|request CONTENDER MODE SIZE COUNT [ENDPOINT]
 *
 * Speaks with the runner over IPC: `{ endpoint }` when bound, `{ seconds, cpu }` when done.
 */
const [role, name, mode, sizeText, countText, endpoint = "tcp://127.0.0.1:*"] = process.argv.slice(2);
const size = Number(sizeText);
const count = Number(countText);
const peer = await import(`./peers/${name}.js`);
const { Push, Pull, Reply, Request } = peer.contender;

/** @param {object} message */
const tell = (message) => new Promise((resolve) => process.send?.(message, resolve));

/** @param {Buffer} message */
function check(message) {
  if (message.length !== size || (size > 0 && message[size - 1] !== 7))
    throw new Error(`wrong message of ${message.length} bytes`);
}

/** @param {() => Promise<void>} work */
async function timed(work) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  await work();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const used = process.cpuUsage(cpu);
  await tell({ seconds, cpu: (used.user + used.system) / 1e6 });
}

/**
 * The runner lets go when the measuring side is done. Ending earlier would hurt the package zeromq: a reply that
 * is a received buffer, still queued when the process ends, goes out as freed memory.
 */
const released = new Promise((resolve) => process.once("disconnect", resolve));

const body = Buffer.alloc(size, 7);
/** Messages before the clock starts: enough that code is compiled and queues have grown. */
const warmup = Math.min(5_000, Math.ceil(count / 4));

if (role === "receive") {
  const pull = new Pull();
  await pull.bind(endpoint);
  await tell({ endpoint: pull.lastEndpoint });
  let warm = 0;
  if (warmup > 0) {
    for await (const [message] of pull) {
      check(message);
      if (++warm === warmup) break;
    }
  }
  await timed(async () => {
    if (mode === "many") return peer.receiveMany(pull, count, check);
    let received = 0;
    for await (const [message] of pull) {
      check(message);
      if (++received === count) break;
    }
  });
  await released;
  await pull.close();
} else if (role === "send") {
  const push = new Push();
  push.connect(endpoint);
  for (let i = 0; i < warmup + count; i++) await push.send(body);
  await released;
  await push.close();
} else if (role === "reply") {
  const reply = new Reply();
  await reply.bind(endpoint);
  await tell({ endpoint: reply.lastEndpoint });
  for (let i = 0; i < warmup + count; i++) {
    const [message] = await reply.receive();
    await reply.send(message);
  }
  await released;
  await reply.close();
} else if (role === "request") {
  const request = new Request();
  request.connect(endpoint);
  const ask = async () => {
    await request.send(body);
    const [message] = await request.receive();
    check(message);
  };
  for (let i = 0; i < warmup; i++) await ask();
  await timed(async () => {
    for (let i = 0; i < count; i++) await ask();
  });
  await released;
  await request.close();
} else {
  throw new Error(`unknown role ${role}`);
}
