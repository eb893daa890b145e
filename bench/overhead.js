// @ts-check
/**
 * What shoal's own layers cost over the engine underneath: the same work through
 * shoal (engine libzmq) and through the npm package zeromq, in turn, two
 * processes each, tcp loopback. Prints ratios; medians over the rounds.
 *
 *   node bench/overhead.js [--rounds N] [--sizes 16,64] [--smoke] [--json]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    sizes: { type: "string", default: "16,64,1024,65536" },
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rounds = values.smoke ? 1 : Number(values.rounds);
const sizes = values.sizes.split(",").map(Number);
const side = fileURLToPath(new URL("./side.js", import.meta.url));
const env = { ...process.env, SHOAL_ENGINE: "libzmq" };

/** @param {number} size */
const messagesOf = (size) =>
  values.smoke ? 2_000 : size >= 65_536 ? 20_000 : size >= 1_024 ? 150_000 : 300_000;
const roundTrips = values.smoke ? 200 : 20_000;

/**
 * Runs both sides; gives what the measuring one told.
 * @param {[string, string]} roles the bound side, the connected side
 * @param {string} contender
 * @param {string} mode
 * @param {number} size
 * @param {number} count
 * @returns {Promise<{ seconds: number, cpu: number }>}
 */
async function measure([bound, connected], contender, mode, size, count) {
  const args = [contender, mode, String(size), String(count)];
  const options = /** @type {const} */ ({ env, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const server = fork(side, [bound, ...args], options);
  const [{ endpoint }] = await once(server, "message");
  const client = fork(side, [connected, ...args, endpoint], options);
  const exits = Promise.all([once(server, "exit"), once(client, "exit")]);
  const result = new Promise((resolve) => {
    for (const child of [server, client]) child.on("message", resolve);
  });
  const failed = exits.then((codes) => {
    if (codes.some(([code]) => code !== 0)) throw new Error(`${contender} ${mode} failed`);
    return result;
  });
  const measured = await Promise.race([result, failed]);
  for (const child of [server, client]) child.disconnect();
  await failed;
  return /** @type {{ seconds: number, cpu: number }} */ (measured);
}

/** @param {number[]} numbers */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return /** @type {number} */ (sorted[sorted.length >> 1]);
}

const contenders = /** @type {const} */ ([
  ["zeromq", "each"],
  ["shoal", "each"],
  ["shoal", "many"],
]);

for (const size of sizes) {
  const count = messagesOf(size);
  /** @type {number[][]} */
  const rates = contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [contender, mode]] of contenders.entries()) {
      const { seconds } = await measure(["receive", "send"], contender, mode, size, count);
      rates[i]?.push(count / seconds);
    }
  }
  const [raw = [], each = [], many = []] = rates;
  /** @type {number[][]} */
  const trips = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (const [i, contender] of ["zeromq", "shoal"].entries()) {
      const { seconds } = await measure(["reply", "request"], contender, "each", size, roundTrips);
      trips[i]?.push((seconds / roundTrips) * 1e6);
    }
  }
  const [rawTrip = [], trip = []] = trips;
  /** @param {number[]} a @param {number[]} b */
  const ratio = (a, b) => median(a.map((value, i) => value / /** @type {number} */ (b[i])));
  const row = {
    size,
    rawPerSecond: Math.round(median(raw)),
    eachRatio: +ratio(each, raw).toFixed(2),
    manyRatio: +ratio(many, raw).toFixed(2),
    rawRoundTripMicroseconds: +median(rawTrip).toFixed(1),
    roundTripRatio: +ratio(trip, rawTrip).toFixed(2),
  };
  if (values.json) console.log(JSON.stringify(row));
  else {
    console.log(
      `${String(size).padStart(6)} B  zeromq ${(row.rawPerSecond / 1e3).toFixed(0).padStart(5)} k/s` +
        `   shoal await ${row.eachRatio.toFixed(2)} x   receiveMany ${row.manyRatio.toFixed(2)} x` +
        `   round trip zeromq ${row.rawRoundTripMicroseconds} us, shoal ${row.roundTripRatio.toFixed(2)} x`,
    );
  }
}
