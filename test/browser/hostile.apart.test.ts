/** Servers that break the rules, against the build for browsers: a WebSocket of the test's own, which says anything. */
import { afterEach, expect, it } from "vitest";
import * as node from "../../src/index.js";
import { turn } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import fc, { forAllAsync } from "../support/properties.js";
import { loadWeb } from "./support/web.js";

const web = await loadWeb();
const own = closeAfterEach();
const globals = globalThis as unknown as { WebSocket: unknown };
const Standard = globals.WebSocket;
afterEach(() => {
  globals.WebSocket = Standard;
});

type Said = { readonly data: unknown } | { readonly close: number } | "error";

const READY = Buffer.from("055245414459" + "0b536f636b65742d54797065" + "00000004" + "50555348", "hex");
const ERROR = Buffer.from("\x05ERROR\x02no", "latin1");

/** What a server may say, as frames of a kind: valid, nearly valid, and junk. */
const frame = fc.oneof(
  fc.constant(Buffer.concat([Buffer.of(4, READY.length), READY])),
  fc.constant(Buffer.concat([Buffer.of(2), READY])),
  fc.constant(Buffer.concat([Buffer.of(4, ERROR.length), ERROR])),
  fc.constant(Buffer.from("0001610100010162", "hex")),
  fc.constant(Buffer.from("02ffffffffffffffff", "hex")),
  fc.constant(Buffer.from("0440", "hex")),
  fc.uint8Array({ maxLength: 40 }),
);
const said = fc.oneof(
  { weight: 8, arbitrary: frame.map((bytes): Said => ({ data: Uint8Array.from(bytes).buffer })) },
  { weight: 1, arbitrary: fc.string().map((data): Said => ({ data })) },
  { weight: 1, arbitrary: fc.constant<Said>({ data: { blob: true } }) },
  { weight: 1, arbitrary: fc.constantFrom(1_000, 1_002, 1_006, 4_009).map((close): Said => ({ close })) },
  { weight: 1, arbitrary: fc.constant<Said>("error") },
);

/** A class of WebSockets that open, perhaps with a subprotocol that was offered, and then say what is given. */
function saying(choice: number, all: readonly Said[]): unknown {
  return class {
    binaryType = "";
    bufferedAmount = 0;
    protocol = "";
    onopen: (() => void) | null = null;
    onmessage: ((event: object) => void) | null = null;
    onerror: (() => void) | null = null;
    onclose: ((event: object) => void) | null = null;

    constructor(_: string, protocols: readonly string[]) {
      this.protocol = protocols[choice] ?? "";
      void this.#run();
    }

    async #run(): Promise<void> {
      await turn();
      this.onopen?.();
      await turn();
      for (const each of all) {
        if (each === "error") this.onerror?.();
        else if ("close" in each) this.onclose?.({ code: each.close, reason: "" });
        else this.onmessage?.(each);
        await Promise.resolve();
      }
      this.onclose?.({ code: 1_006, reason: "" });
    }

    send(): void {}
    close(): void {}
  };
}

it("nothing that a server says throws into a page, or keeps it from the next server", async () => {
  const failures: unknown[] = [];
  const onFailure = (error: unknown): void => void failures.push(error);
  process.on("uncaughtException", onFailure);
  process.on("unhandledRejection", onFailure);
  try {
    await forAllAsync(
      [fc.integer({ min: 0, max: 3 }), fc.array(said, { minLength: 1, maxLength: 8 })],
      { numRuns: 2_000, defaultRuns: 200 },
      async (choice, all) => {
        globals.WebSocket = saying(choice, all);
        const pull = new web.Pull({ reconnectInterval: -1, maxMessageSize: 10_000 });
        pull.connect("ws://127.0.0.1:1/");
        for (let i = 0; i < 6; i++) await turn();
        await pull.close({ linger: 0 });
        expect(failures).toEqual([]);
      },
    );
  } finally {
    process.off("uncaughtException", onFailure);
    process.off("unhandledRejection", onFailure);
  }
  globals.WebSocket = Standard;
  const push = own(new node.Push());
  const pull = own(new web.Pull());
  pull.connect(await push.bind("ws://127.0.0.1:*"));
  await push.send("still here");
  expect(String(await pull.receive({ timeout: 10_000 }))).toBe("still here");
});
