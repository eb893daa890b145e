/**
 * A ZeroMQ program made of shoal, driven by commands: the same that peer.py and
 * peer.c understand. In the tests' own process it runs on the sources, in a
 * process of its own (shoal-main.js) on the built package.
 */
import { body, check, message, pieces } from "./messages.js";

/** ms that a command may take. */
const LIMIT = 15_000;

const CLASSES = {
  PUSH: "Push",
  PULL: "Pull",
  PUB: "Publisher",
  SUB: "Subscriber",
  XPUB: "XPublisher",
  XSUB: "XSubscriber",
  REQ: "Request",
  REP: "Reply",
  DEALER: "Dealer",
  ROUTER: "Router",
  PAIR: "Pair",
  STREAM: "Stream",
};

/** libzmq's names for options, as the commands have them. */
const OPTIONS = {
  ROUTING_ID: "routingId",
  ROUTER_MANDATORY: "mandatory",
  PLAIN_SERVER: "plainServer",
  PLAIN_USERNAME: "plainUsername",
  PLAIN_PASSWORD: "plainPassword",
  CURVE_SERVER: "curveServer",
  CURVE_SERVERKEY: "curveServerKey",
  CURVE_PUBLICKEY: "curvePublicKey",
  CURVE_SECRETKEY: "curveSecretKey",
  ZAP_DOMAIN: "zapDomain",
  SNDHWM: "sendHighWaterMark",
  RCVHWM: "receiveHighWaterMark",
};
const FLAGS = ["mandatory", "plainServer", "curveServer"];

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const z85 = (key) =>
  Array.from({ length: 40 }, (_, at) => {
    const value = key.readUInt32BE(Math.floor(at / 5) * 4);
    return Z85[Math.floor(value / 85 ** (4 - (at % 5))) % 85];
  }).join("");

const decoded = (frames = []) => frames.map((frame) => Buffer.from(frame, "base64"));
const encoded = (frames) => frames.map((frame) => Buffer.from(frame).toString("base64"));

export class ShoalPeer {
  #shoal;
  #context;
  #sockets = new Map();
  #judge;
  #zap;
  #attending;

  /**
   * @param shoal the package
   * @param engine its engine's name
   */
  constructor(shoal, engine) {
    this.#shoal = shoal;
    this.#context = new shoal.Context({ engine });
  }

  /** Does what a command says. @returns the answer */
  async run(command) {
    return (await this[command.op](command)) ?? {};
  }

  async close_all() {
    const all = [...this.#sockets.values()];
    this.#sockets.clear();
    this.#judge = undefined;
    const zap = this.#zap;
    this.#zap = undefined;
    await zap?.close({ linger: 0 });
    await Promise.all(all.map(({ socket }) => socket.close({ linger: 0 })));
  }

  /** Lets in who has this password, or this key; servers that are opened from now on ask. */
  async authenticate({ username, password, key }) {
    this.#judge = (who) => {
      if (who.mechanism === "PLAIN") return who.username === username && who.password === password;
      return who.mechanism !== "CURVE" || who.publicKey === key;
    };
    if (this.#context.engine === "libzmq") await this.#serveZap();
  }

  /** The context's ZAP handler (27/ZAP): on the engine libzmq sockets have no `authenticate`. */
  async #serveZap() {
    const zap = new this.#shoal.Router({ context: this.#context, linger: 0 });
    this.#zap = zap;
    await zap.bind("inproc://zeromq.zap.01");
    const answerAll = async () => {
      for await (const [peer, empty, version, id, , , , mechanism, first, password] of zap) {
        const name = String(mechanism);
        const who =
          name === "PLAIN"
            ? { mechanism: name, username: String(first), password: String(password) }
            : { mechanism: name, publicKey: name === "CURVE" ? z85(first) : undefined };
        const status = this.#judge?.(who) ? "200" : "400";
        await zap.send([peer, empty, version, id, status, "", "", ""]);
      }
    };
    answerAll().catch(() => undefined);
  }

  open({ id, type, options = {} }) {
    const own = { context: this.#context, reconnectInterval: 20, reconnectMaxInterval: 100 };
    for (const [name, value] of Object.entries(options)) {
      const ours = OPTIONS[name];
      if (ours === undefined) throw new Error(`no option ${name}`);
      own[ours] = FLAGS.includes(ours) ? value === 1 : value;
    }
    if ((own.plainServer || own.curveServer) && this.#zap === undefined) own.authenticate = this.#judge;
    const entry = { socket: new this.#shoal[CLASSES[type]](own), joins: 0, leaves: 0, onChange: () => {} };
    entry.socket.events.on("peer:join", () => {
      entry.joins += 1;
      entry.onChange();
    });
    entry.socket.events.on("peer:leave", () => {
      entry.leaves += 1;
      entry.onChange();
    });
    this.#sockets.set(id, entry);
  }

  async bind({ id, endpoint }) {
    const socket = this.#socket(id);
    await socket.bind(endpoint);
    return { endpoint: socket.lastEndpoint };
  }

  connect({ id, endpoint }) {
    this.#socket(id).connect(endpoint);
  }

  subscribe({ id }) {
    this.#socket(id).subscribe();
  }

  /** Waits until so many peers have come and gone since the socket was opened. */
  async wait({ id, joins = 0, leaves = 0 }) {
    const entry = this.#sockets.get(id);
    const deadline = AbortSignal.timeout(LIMIT);
    while (entry.joins < joins || entry.leaves < leaves) {
      await new Promise((resolve, reject) => {
        entry.onChange = resolve;
        deadline.onabort = () =>
          reject(new Error(`only ${entry.joins} peers have come, and ${entry.leaves} gone`));
      });
    }
  }

  async send_one({ id, frames }) {
    await this.#send(id, decoded(frames));
  }

  async receive_one({ id }) {
    return { frames: encoded(await this.#receive(id)) };
  }

  async send({ id, count, seed, prefix }) {
    const address = decoded(prefix);
    for (let number = 0; number < count; number++) {
      await this.#send(id, [...address, ...message(number, seed)]);
    }
  }

  async receive({ id, count, seed, strip = 0 }) {
    for (let number = 0; number < count; ) {
      const frames = await this.#receive(id);
      if (frames.length === 1 && String(frames[0]) === "sync") continue;
      check(frames.slice(strip), number, seed);
      number += 1;
    }
  }

  /** Sends every message back as it came; `strip` frames in front are its address. */
  async echo({ id, count, seed, strip }) {
    for (let number = 0; number < count; number++) {
      const frames = await this.#receive(id);
      check(frames.slice(strip), number, seed);
      await this.#send(id, frames);
    }
  }

  /** Sends messages and checks that each comes back; `window` may be on their way. */
  async ask({ id, count, seed, window, prefix }) {
    const address = decoded(prefix);
    for (let number = 0, sent = 0; number < count; number++) {
      for (; sent < count && sent - number < window; sent++) {
        await this.#send(id, [...address, ...message(sent, seed)]);
      }
      const frames = await this.#receive(id);
      if (!address.every((frame, i) => frame.equals(frames[i]))) {
        throw new Error(`reply ${number} has another address`);
      }
      check(frames.slice(address.length), number, seed);
    }
  }

  /** Numbered messages of one size, [number | body]. */
  async number({ id, from, count, size }) {
    for (let number = from; number < from + count; number++) {
      await this.#send(id, [Buffer.from(`${number}`), body(size, number)]);
    }
  }

  /**
   * Receives numbered messages until `last`. A sender has a million numbers.
   *
   * @returns the first, and those that do not follow on another of their sender's
   */
  async follow({ id, last, size }) {
    const before = new Map();
    const jumps = [];
    let first;
    for (let number; number !== last; ) {
      const [text, bytes] = await this.#receive(id);
      number = Number(String(text));
      if (!bytes?.equals(body(size, number))) throw new Error(`message ${number} is damaged`);
      first ??= number;
      const sender = Math.floor(number / 1_000_000);
      if (before.has(sender) && before.get(sender) !== number - 1) jumps.push(number);
      before.set(sender, number);
    }
    return { first, jumps };
  }

  /** A publisher's: waits for a subscriber, and sends it [sync]. */
  async sync({ id }) {
    const socket = this.#socket(id);
    await socket.waitForSubscribers({ timeout: LIMIT });
    await socket.send(["sync"]);
  }

  /** Keeps libzmq at work for its sockets until `pause`: it lets go of dead peers when its program looks at them. */
  attend() {
    this.#attending = setInterval(() => {
      for (const { socket } of this.#sockets.values()) void socket.readable;
    }, 5);
  }

  /** Ends what lasts until the next command. */
  pause() {
    clearInterval(this.#attending);
  }

  /** Bytes to the only peer of a STREAM. */
  async stream_send({ id, count, seed, peer }) {
    for (const piece of pieces(count, seed)) await this.#send(id, [...decoded([peer]), piece]);
  }

  async stream_receive({ id, count, seed }) {
    const expected = Buffer.concat(pieces(count, seed));
    for (let at = 0; at < expected.length; ) {
      const piece = (await this.#receive(id))[1];
      if (!piece.equals(expected.subarray(at, at + piece.length)))
        throw new Error(`other bytes behind byte ${at}`);
      at += piece.length;
    }
  }

  stats({ id }) {
    return this.#socket(id).stats();
  }

  #socket(id) {
    return this.#sockets.get(id).socket;
  }

  #receive(id) {
    return this.#socket(id).receive({ timeout: LIMIT });
  }

  /** Tries until it works: a mandatory router may not know its peer yet. */
  async #send(id, frames) {
    const deadline = performance.now() + LIMIT;
    for (;;) {
      try {
        return await this.#socket(id).send(frames, { timeout: LIMIT });
      } catch (error) {
        if (error.code !== "EHOSTUNREACH" || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }
}
