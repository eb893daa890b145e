/** Debian's Chromium without a window, by the DevTools protocol over Node's own WebSocket. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child, FOREVER } from "../../process/child.js";

interface Socket {
  onmessage: (event: { data: unknown }) => void;
  onopen: () => void;
  onerror: () => void;
  send(text: string): void;
  close(): void;
}

type Reply = { readonly result: Record<string, unknown> } & { readonly error?: { readonly message: string } };

export class Chromium {
  readonly #child: Child;
  readonly #folder: string;
  readonly #socket: Socket;
  readonly #replies = new Map<number, (reply: Reply) => void>();
  #last = 0;

  private constructor(child: Child, folder: string, socket: Socket) {
    this.#child = child;
    this.#folder = folder;
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const reply = JSON.parse(String(data)) as Reply & { readonly id?: number };
      if (reply.id === undefined) return;
      this.#replies.get(reply.id)?.(reply);
      this.#replies.delete(reply.id);
    };
  }

  static async start(program: string): Promise<Chromium> {
    const folder = mkdtempSync(join(tmpdir(), "shoal-chromium-"));
    const args = [
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
      ...["--disable-background-networking", "--ignore-certificate-errors", "--remote-debugging-port=0"],
      ...["--window-size=900,600", `--user-data-dir=${folder}`, "about:blank"],
    ];
    const child = new Child(program, args, { stdin: "ignore", limit: FOREVER });
    const [, url = ""] = await child.until("stderr", /DevTools listening on (ws:\S+)/);
    const { WebSocket } = globalThis as unknown as { WebSocket: new (url: string) => Socket };
    const socket = new WebSocket(url);
    await new Promise<void>((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error(`no connection to ${url}`));
    });
    return new Chromium(child, folder, socket);
  }

  async #call(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#last;
    const reply = await new Promise<Reply>((resolve) => {
      this.#replies.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
    if (reply.error !== undefined) throw new Error(`${method}: ${reply.error.message}`);
    return reply.result;
  }

  async open(url: string): Promise<Page> {
    const { targetId } = await this.#call("Target.createTarget", { url });
    const { sessionId } = await this.#call("Target.attachToTarget", { targetId, flatten: true });
    return new Page(
      (method, params) => this.#call(method, params, sessionId as string),
      () => this.#call("Target.closeTarget", { targetId }),
    );
  }

  async close(): Promise<void> {
    const exited = this.#child.outcome;
    await Promise.race([this.#call("Browser.close", {}), exited]);
    await exited;
    this.#socket.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class Page {
  readonly call: (method: string, params: object) => Promise<Record<string, unknown>>;
  readonly close: () => Promise<unknown>;

  constructor(call: Page["call"], close: Page["close"]) {
    this.call = call;
    this.close = close;
  }

  /** The value of an expression, which may be a promise. @throws Error for what it throws */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    })) as {
      result: { value: T };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Asks until the expression is true. */
  async until(expression: string, limit = 15_000): Promise<void> {
    const end = performance.now() + limit;
    for (;;) {
      const holds = await this.evaluate<boolean>(`Boolean(${expression})`).catch(() => false);
      if (holds) return;
      if (performance.now() > end) throw new Error(`not within ${limit} ms: ${expression}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async screenshot(): Promise<Buffer> {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data as string, "base64");
  }
}
