/** shoal proxy --config with certificates: renewed while peers are connected, missing, and back again. */
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { expect, it } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { makeAuthority, makeCertificate } from "../support/certificates.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { sharedFolder } from "../support/folders.js";
import { run, startWithout } from "./in-process.js";
import { ipc, useFolder } from "./support.js";

useFolder();

const folder = sharedFolder();
const path = (name: string): string => join(folder, name);
const pem = (name: string): string => readFileSync(path(name), "latin1");
const own = closeAfterEach();

/** As certbot does: each file is replaced by another. */
function install(name: string): void {
  for (const kind of ["key", "pem"]) {
    writeFileSync(path(`now.${kind}.tmp`), pem(`${name}.${kind}`));
    renameSync(path(`now.${kind}.tmp`), path(`now.${kind}`));
  }
}

async function subjectAt(port: number): Promise<unknown> {
  const peer = connect({ port, host: "127.0.0.1", ca: pem("ca.pem") });
  await once(peer, "secureConnect");
  const { CN } = peer.getPeerCertificate().subject;
  peer.destroy();
  return CN;
}

it("renews certificates on SIGHUP, without a stop", async () => {
  makeAuthority(folder, "ca");
  for (const name of ["old", "new"])
    makeCertificate(folder, name, {
      extensions: "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
      subject: `/CN=${name}`,
    });
  install("old");
  const [work, config] = [ipc(), path("proxy.yaml")];
  writeFileSync(
    config,
    `
proxies:
  work:
    kind: streamer
    frontend: { bind: "tls://127.0.0.1:*", tls: { cert: now.pem, key: now.key } }
    backend: { bind: "${work}" }
`,
  );
  expect(await run("", "proxy", "check", config)).toMatchObject({ code: 0 });
  const proxy = startWithout("proxy", "--config", config);
  const [, port] = (await proxy.until(
    "stderr",
    /tls:\/\/127\.0\.0\.1:(\d+)[\s\S]*work has started\n/,
  )) as RegExpExecArray;
  expect(await subjectAt(Number(port))).toBe("old");
  const push = own(new Push({ tlsCa: pem("ca.pem") }));
  const pull = own(new Pull());
  push.connect(`tls://127.0.0.1:${port}`);
  pull.connect(work);
  await push.send("before");
  expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe("before");
  let left = 0;
  push.events.on("peer:leave", () => void left++);

  install("new");
  proxy.signal("SIGHUP");
  await proxy.until("stderr", /work: the frontend has new certificates\n/);
  expect(await subjectAt(Number(port))).toBe("new");

  renameSync(path("now.key"), path("away.key"));
  proxy.signal("SIGHUP");
  await proxy.until("stderr", /frontend\.tls\.key: cannot read .*now\.key: it does not exist\n/);
  expect(await run("", "proxy", "check", config)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/tls\.key: cannot read .*now\.key: it does not exist/),
  });
  expect(await subjectAt(Number(port))).toBe("new");
  install("old");
  proxy.signal("SIGHUP");
  await proxy.until("stderr", /has new certificates\n[\s\S]*has new certificates\n/);
  expect(await subjectAt(Number(port))).toBe("old");

  await push.send("after");
  expect(String((await pull.receive({ timeout: 8_000 }))[0])).toBe("after");
  expect(left).toBe(0);
  proxy.signal("SIGTERM");
  expect((await proxy.ended).code).toBe(0);
});
