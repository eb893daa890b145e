// @ts-check
/** A Chromium without a window, by the DevTools protocol over Node's own WebSocket (Node.js 22 or newer). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** @typedef {(method: string, params?: object) => Promise<any>} Call */

export class Chromium {
  #child;
  #folder;
  #socket;
  /** @type {Map<number, (reply: { result: unknown, error?: { message: string } }) => void>} */
  #replies = new Map();
  /** @type {Map<string, (method: string, params: any) => void>} */
  #listeners = new Map();
  #last = 0;

  /** @param {import("node:child_process").ChildProcess} child @param {string} folder @param {WebSocket} socket */
  constructor(child, folder, socket) {
    this.#child = child;
    this.#folder = folder;
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.id === undefined) this.#listeners.get(message.sessionId)?.(message.method, message.params);
      else {
        this.#replies.get(message.id)?.(message);
        this.#replies.delete(message.id);
      }
    };
  }

  static async start() {
    const folder = mkdtempSync(join(tmpdir(), "shoal-site-"));
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
    ];
    const more = ["--disable-background-networking", "--hide-scrollbars", "--remote-debugging-port=0"];
    const child = spawn(
      process.env.CHROMIUM ?? "chromium",
      [...flags, ...more, `--user-data-dir=${folder}`],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    child.on("error", () => {});
    let url;
    for await (const line of createInterface({ input: child.stderr })) {
      url = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (url !== undefined) break;
    }
    child.stderr.resume();
    if (url === undefined) throw new Error("chromium ended before it listened");
    const socket = new WebSocket(url);
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    return new Chromium(child, folder, socket);
  }

  /** @param {string} method @param {object} [params] @param {string} [sessionId] @returns {Promise<any>} */
  async #call(method, params = {}, sessionId) {
    const id = ++this.#last;
    const { result, error } = await new Promise((resolve) => {
      this.#replies.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  /** An empty page. @param {(method: string, params: any) => void} listener of its events @returns {Promise<Call>} */
  async open(listener) {
    const { targetId } = await this.#call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.#call("Target.attachToTarget", { targetId, flatten: true });
    this.#listeners.set(sessionId, listener);
    return (method, params) => this.#call(method, params, sessionId);
  }

  async close() {
    const exited = once(this.#child, "exit");
    await Promise.race([this.#call("Browser.close"), exited]);
    await exited;
    this.#socket.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
