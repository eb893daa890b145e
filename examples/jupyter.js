// @ts-check
/**
 * A Jupyter kernel, run by a client of a hundred lines: the five sockets of its connection file, signed messages, output as it is
 * printed, a question on stdin, an interrupt, and the shutdown. Needs a Python with ipykernel (Debian: python3-ipykernel).
 *
 * The protocol: https://jupyter-client.readthedocs.io/en/stable/messaging.html
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dealer, Request, Subscriber } from "shoal";

const python = ["python3", "/usr/bin/python3"].find((each) => {
  try {
    execFileSync(each, ["-c", "import ipykernel"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
});
if (python === undefined) {
  console.log("No Python with ipykernel is installed here: nothing to run");
  process.exit();
}

// The kernel binds, at paths of a folder: each port is a part of the path's end.
const folder = mkdtempSync(join(tmpdir(), "jupyter-"));
const key = randomUUID();
const ports = { shell_port: 1, iopub_port: 2, stdin_port: 3, control_port: 4, hb_port: 5 };
const connection = {
  transport: "ipc",
  ip: join(folder, "kernel"),
  key,
  signature_scheme: "hmac-sha256",
  ...ports,
};
writeFileSync(join(folder, "connection.json"), JSON.stringify(connection));
const kernel = spawn(python, ["-m", "ipykernel_launcher", "-f", join(folder, "connection.json")], {
  stdio: "ignore",
});
const exited = once(kernel, "exit");

const endpoint = (/** @type {keyof typeof ports} */ port) => `ipc://${connection.ip}-${ports[port]}`;
const session = randomUUID();
const shell = new Dealer({ routingId: session });
const control = new Dealer({ routingId: session });
const stdin = new Dealer({ routingId: session });
const output = new Subscriber();
const heartbeat = new Request();
output.subscribe();
shell.connect(endpoint("shell_port"));
control.connect(endpoint("control_port"));
stdin.connect(endpoint("stdin_port"));
output.connect(endpoint("iopub_port"));
heartbeat.connect(endpoint("hb_port"));

/** @param {Buffer[] | string[]} parts */
function sign(parts) {
  const hmac = createHmac("sha256", key);
  for (const part of parts) hmac.update(part);
  return hmac.digest("hex");
}

/** @param {Dealer} socket @param {string} type @param {object} content @param {object} [parent] */
async function send(socket, type, content, parent = {}) {
  const header = { msg_id: randomUUID(), session, username: "shoal", version: "5.3", msg_type: type };
  const parts = [header, parent, {}, content].map((part) => JSON.stringify(part));
  await socket.send(["<IDS|MSG>", sign(parts), ...parts]);
  return header.msg_id;
}

/** @param {Dealer | Subscriber} socket the next message of it */
async function receive(socket) {
  const frames = await socket.receive();
  const start = frames.findIndex((frame) => String(frame) === "<IDS|MSG>");
  const [signature, ...parts] = frames.slice(start + 1, start + 6);
  assert.equal(String(signature), sign(parts));
  const [header, parent, , content] = parts.map((part) => JSON.parse(String(part)));
  return { header, parent, content };
}

/**
 * Runs code.
 *
 * @param {string} code
 * @param {() => void} [shows] called with the first output
 * @returns what it printed and showed, once the kernel is idle again
 */
async function execute(code, shows) {
  const request = { code, silent: false, allow_stdin: true, user_expressions: {} };
  const id = await send(shell, "execute_request", request);
  let shown = "";
  for (;;) {
    const { header, parent, content } = await receive(output);
    if (parent.msg_id !== id) continue;
    if (header.msg_type === "status" && content.execution_state === "idle") break;
    if (header.msg_type === "stream") shown += content.text;
    else if (header.msg_type === "error") shown += content.ename;
    else if (header.msg_type === "execute_result") shown += content.data["text/plain"];
    else continue;
    shows?.();
    shows = undefined;
  }
  return { status: (await receive(shell)).content.status, shown };
}

// The kernel is there when its heartbeat comes back, and the output's subscription when a request is seen on it.
await heartbeat.send("ping");
assert.equal(String(await heartbeat.receive()), "ping");
for (let seen = false; !seen; ) {
  await send(shell, "kernel_info_request", {});
  await receive(shell);
  seen = await output.receive({ timeout: 200 }).then(
    () => true,
    () => false,
  );
}

assert.deepEqual(await execute("print('hello'); 6 * 7"), { status: "ok", shown: "hello\n42" });

const asked = receive(stdin).then(({ header, content }) => {
  assert.equal(content.prompt, "name? ");
  return send(stdin, "input_reply", { value: "shoal" }, header);
});
assert.deepEqual(await execute("'I am ' + input('name? ')"), { status: "ok", shown: "'I am shoal'" });
await asked;

const { shown } = await execute("'x' * 20_000_000");
assert.equal(shown.length, 20_000_002);

const interrupted = await execute("print('on', flush=True)\nwhile True: pass", () => kernel.kill("SIGINT"));
assert.deepEqual(interrupted, { status: "error", shown: "on\nKeyboardInterrupt" });

await send(control, "shutdown_request", { restart: false });
assert.equal((await receive(control)).header.msg_type, "shutdown_reply");
await exited;
await Promise.all([shell, control, stdin, output, heartbeat].map((socket) => socket.close()));
rmSync(folder, { recursive: true });
console.log("A kernel ran code, asked a question, was interrupted, and was shut down");
