/** NULL, PLAIN and CURVE with pyzmq, which is the client and then the server; and certificate files. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type Certificate,
  Context,
  curveKeyPair,
  type EventOfType,
  type EventType,
  type PeerCredentials,
  Reply,
  Request,
  readCertificate,
  type Socket,
  writeCertificate,
} from "../../src/index.js";
import { missing } from "../support/peers.js";
import { OURS } from "./kinds.js";
import type { PeerSocket, ProcessPeer } from "./peer.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

const LIMIT = 5_000;

let peer: ProcessPeer;
let folder: string;
const sockets: Socket[] = [];

function track<S extends Socket>(socket: S): S {
  sockets.push(socket);
  return socket;
}

function next<E extends EventType>(socket: Socket, type: E): Promise<EventOfType<E>> {
  return new Promise((resolve) => socket.events.once(type, resolve));
}

/** One question and answer, asked by us. */
async function weAsk(req: Request, rep: PeerSocket): Promise<void> {
  const question = rep.receive();
  await req.send(["question", "", "x".repeat(100_000)]);
  const frames = await question;
  expect(frames.map((frame) => frame.length)).toEqual([8, 0, 100_000]);
  await rep.send("answer");
  expect((await req.receive()).map(String)).toEqual(["answer"]);
}

/** The same, asked by pyzmq. */
async function theyAsk(req: PeerSocket, rep: Reply): Promise<void> {
  await req.send("question", "", "x".repeat(100_000));
  expect((await rep.receive()).map((frame) => frame.length)).toEqual([8, 0, 100_000]);
  await rep.send(["answer"]);
  expect((await req.receive()).map(String)).toEqual(["answer"]);
}

interface CertificateFiles {
  readonly public: string;
  readonly secret: string;
  readonly keys: [publicKey: string, secretKey: string];
}

describe.skipIf(NO_PYTHON).each(OURS)("engine %s: security with pyzmq", (engine) => {
  const context = new Context({ engine });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "shoal-security-"));
    peer = await startPython();
  });

  afterEach(async () => {
    await Promise.all(sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
    await peer.call("close_all");
  });

  afterAll(async () => {
    await peer?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  describe("NULL", () => {
    it("asks our authenticate hook about pyzmq's address, and lets it in", async () => {
      const seen: PeerCredentials[] = [];
      const rep = track(
        new Reply({ context, receiveTimeout: LIMIT, authenticate: (who) => seen.push(who) > 0 }),
      );
      await rep.bind("tcp://127.0.0.1:*");
      const req = await peer.open("REQ");
      await req.call("connect", { endpoint: rep.lastEndpoint });
      await theyAsk(req, rep);
      expect(seen).toMatchObject([{ mechanism: "NULL", address: "127.0.0.1" }]);
    });

    it("passes pyzmq's authenticator", async () => {
      await peer.call("authenticate");
      const rep = await peer.open("REP", { ZAP_DOMAIN: "global" });
      const endpoint = await rep.bind("tcp://127.0.0.1:*");
      const req = track(new Request({ context, receiveTimeout: LIMIT }));
      req.connect(endpoint);
      await weAsk(req, rep);
    });
  });

  describe("PLAIN", () => {
    it("lets our client into a pyzmq server with the right password", async () => {
      await peer.call("authenticate", { domain: "global", passwords: { admin: "open" } });
      const rep = await peer.open("REP", { PLAIN_SERVER: 1, ZAP_DOMAIN: "global" });
      const endpoint = await rep.bind("tcp://127.0.0.1:*");
      const req = track(
        new Request({ context, plainUsername: "admin", plainPassword: "open", receiveTimeout: LIMIT }),
      );
      req.connect(endpoint);
      await req.ready({ timeout: LIMIT });
      await weAsk(req, rep);
    });

    it("shows our client that a pyzmq server refuses its password", async () => {
      await peer.call("authenticate", { domain: "global", passwords: { admin: "open" } });
      const rep = await peer.open("REP", { PLAIN_SERVER: 1, ZAP_DOMAIN: "global" });
      const endpoint = await rep.bind("tcp://127.0.0.1:*");
      const req = track(new Request({ context, plainUsername: "admin", plainPassword: "wrong" }));
      req.connect(endpoint);
      await expect(req.ready({ timeout: LIMIT })).rejects.toMatchObject({
        code: "ERR_AUTHENTICATION",
        status: 400,
        endpoint: expect.stringMatching(/^tcp:\/\/127\.0\.0\.1:\d+$/),
      });
      expect(req.stats().peers).toBe(0);
    });

    it("has our server check pyzmq's user name and password", async () => {
      const seen: PeerCredentials[] = [];
      const rep = track(
        new Reply({
          context,
          plainServer: true,
          receiveTimeout: LIMIT,
          authenticate: async (who) => {
            seen.push(who);
            return who.username === "admin" && who.password === "ö-pen";
          },
        }),
      );
      await rep.bind("tcp://127.0.0.1:*");
      const refused = next(rep, "peer:refused");
      const stranger = await peer.open("REQ", { PLAIN_USERNAME: "admin", PLAIN_PASSWORD: "wrong" });
      await stranger.call("connect", { endpoint: rep.lastEndpoint });
      expect(await refused).toMatchObject({ mechanism: "PLAIN", error: { code: "ERR_AUTHENTICATION" } });
      expect(rep.stats().peers).toBe(0);

      const friend = await peer.open("REQ", { PLAIN_USERNAME: "admin", PLAIN_PASSWORD: "ö-pen" });
      await friend.call("connect", { endpoint: rep.lastEndpoint });
      await theyAsk(friend, rep);
      expect(seen[0]).toMatchObject({ mechanism: "PLAIN", username: "admin", password: "wrong" });
      expect(seen.at(-1)).toMatchObject({ username: "admin", password: "ö-pen" });
    });
  });

  describe("CURVE", () => {
    it("lets our client into a pyzmq server that knows its key, and refuses a stranger of ours with the reason", async () => {
      const known = join(folder, "known");
      const server = await peer.call<CertificateFiles>("create_certificate", { folder, name: "server" });
      const client = await peer.call<CertificateFiles>("create_certificate", {
        folder: known,
        name: "client",
      });
      await peer.call("authenticate", { certificates: known });
      const rep = await peer.open("REP", { CURVE_SERVER: 1, CURVE_SECRETKEY: server.keys[1] });
      const endpoint = await rep.bind("tcp://127.0.0.1:*");

      const { publicKey, secretKey } = await readCertificate(client.secret);
      const req = track(
        new Request({
          context,
          curveServerKey: (await readCertificate(server.public)).publicKey,
          curvePublicKey: publicKey,
          curveSecretKey: secretKey as string,
          receiveTimeout: LIMIT,
        }),
      );
      req.connect(endpoint);
      await req.ready({ timeout: LIMIT });
      await weAsk(req, rep);

      const own = curveKeyPair();
      const stranger = track(
        new Request({
          context,
          curveServerKey: server.keys[0],
          curvePublicKey: own.publicKey,
          curveSecretKey: own.secretKey,
        }),
      );
      stranger.connect(endpoint);
      await expect(stranger.ready({ timeout: LIMIT })).rejects.toMatchObject({
        code: "ERR_AUTHENTICATION",
        status: 400,
      });
    });

    it("has our server check pyzmq's public key", async () => {
      const server = curveKeyPair();
      const client = await peer.call<CertificateFiles>("create_certificate", { folder, name: "friend" });
      const other = curveKeyPair();
      const seen: PeerCredentials[] = [];
      const rep = track(
        new Reply({
          context,
          curveServer: true,
          curveSecretKey: server.secretKey,
          receiveTimeout: LIMIT,
          authenticate: (who) => {
            seen.push(who);
            return who.publicKey === client.keys[0];
          },
        }),
      );
      await rep.bind("tcp://127.0.0.1:*");
      const refused = next(rep, "peer:refused");
      const stranger = await peer.open("REQ", {
        CURVE_SERVERKEY: server.publicKey,
        CURVE_PUBLICKEY: other.publicKey,
        CURVE_SECRETKEY: other.secretKey,
      });
      await stranger.call("connect", { endpoint: rep.lastEndpoint });
      expect(await refused).toMatchObject({ mechanism: "CURVE", error: { code: "ERR_AUTHENTICATION" } });

      const friend = await peer.open("REQ", {
        CURVE_SERVERKEY: server.publicKey,
        CURVE_PUBLICKEY: client.keys[0],
        CURVE_SECRETKEY: client.keys[1],
      });
      await friend.call("connect", { endpoint: rep.lastEndpoint });
      await theyAsk(friend, rep);
      expect(seen[0]).toMatchObject({ mechanism: "CURVE", publicKey: other.publicKey, address: "127.0.0.1" });
      expect(seen.at(-1)?.publicKey).toBe(client.keys[0]);
    });

    it("ends the handshake of a client with the wrong server key, and says so on our side", async () => {
      const server = curveKeyPair();
      const client = curveKeyPair();
      const rep = track(new Reply({ context, curveServer: true, curveSecretKey: server.secretKey }));
      await rep.bind("tcp://127.0.0.1:*");
      const failed = next(rep, "handshake:error:protocol");
      const req = await peer.open("REQ", {
        CURVE_SERVERKEY: curveKeyPair().publicKey,
        CURVE_PUBLICKEY: client.publicKey,
        CURVE_SECRETKEY: client.secretKey,
      });
      await req.call("connect", { endpoint: rep.lastEndpoint });
      expect((await failed).error).toMatchObject({ code: "ERR_ZMTP_CRYPTOGRAPHIC" });
      expect(rep.stats().peers).toBe(0);
    });

    it("does not talk to a client without security", async () => {
      const server = curveKeyPair();
      const rep = track(new Reply({ context, curveServer: true, curveSecretKey: server.secretKey }));
      await rep.bind("tcp://127.0.0.1:*");
      // Both ends see that their mechanisms differ. When the client is first to hang up, our side finds a broken pipe.
      const failed = Promise.race([
        next(rep, "handshake:error:protocol"),
        next(rep, "handshake:error:other"),
      ]);
      const req = await peer.open("REQ");
      await req.call("connect", { endpoint: rep.lastEndpoint });
      expect(["ERR_ZMTP_MECHANISM_MISMATCH", "ERR_HANDSHAKE"]).toContain((await failed).error.code);
      expect(rep.stats().peers).toBe(0);
    });
  });

  describe("certificate files", () => {
    const metadata = { name: "Ada", organization: "Engine & Sons", "e-mail": "ada@example.com" };

    it("of ours are read by pyzmq, one by one and as a folder", async () => {
      const own = join(folder, "ours");
      const pair = curveKeyPair();
      await peer.call("make_folder", { folder: own });
      const { publicFile, secretFile } = await writeCertificate(join(own, "ada.key"), { ...pair, metadata });
      expect(await peer.call("load_certificate", { file: publicFile })).toEqual({
        public: pair.publicKey,
        secret: null,
      });
      expect(await peer.call("load_certificate", { file: secretFile })).toEqual({
        public: pair.publicKey,
        secret: pair.secretKey,
      });
      expect((await stat(secretFile)).mode & 0o777).toBe(0o600);
      expect(await peer.call("load_certificates", { folder: own })).toEqual({ keys: [pair.publicKey] });
      expect((await readdir(own)).sort()).toEqual(["ada.key", "ada.key_secret"]);
    });

    it("of pyzmq are read by us, its unquoted metadata in the secret file too", async () => {
      const made = await peer.call<CertificateFiles>("create_certificate", { folder, name: "ada", metadata });
      const publicOnly: Certificate = await readCertificate(made.public);
      expect(publicOnly.publicKey).toBe(made.keys[0]);
      expect(publicOnly.secretKey).toBeUndefined();
      const both = await readCertificate(made.secret);
      expect({ ...both, metadata: { ...both.metadata } }).toEqual({
        publicKey: made.keys[0],
        secretKey: made.keys[1],
        metadata,
      });
    });

    it.skipIf(missing("czmq"))("of czmq are read by us, and ours by czmq", async () => {
      const program = join(folder, "zcert");
      await writeFile(`${program}.c`, CZMQ);
      await promisify(execFile)("cc", [`${program}.c`, "-o", program, "-lczmq"]);
      const theirs = join(folder, "czmq.key");
      const { stdout } = await promisify(execFile)(program, ["save", theirs]);
      const [publicKey, secretKey] = stdout.trim().split("\n");
      const read = await readCertificate(`${theirs}_secret`);
      expect({ ...read, metadata: { ...read.metadata } }).toEqual({
        publicKey,
        secretKey,
        metadata: { name: "Grace" },
      });
      expect(await readCertificate(theirs)).toMatchObject({ publicKey });

      const pair = curveKeyPair();
      const ours = join(folder, "for-czmq.key");
      await writeCertificate(ours, { ...pair, metadata: { name: "Grace" } });
      const loaded = await promisify(execFile)(program, ["load", ours]);
      expect(loaded.stdout.trim().split("\n")).toEqual([pair.publicKey, pair.secretKey, "Grace"]);
    });
  });
});

/** Saves a new certificate, or loads one and prints what it found. */
const CZMQ = `
#include <czmq.h>
int main (int argc, char **argv)
{
    zcert_t *cert = NULL;
    if (argc == 3 && streq (argv [1], "load")) {
        cert = zcert_load (argv [2]);
        if (!cert)
            return 1;
        printf ("%s\\n%s\\n%s\\n", zcert_public_txt (cert), zcert_secret_txt (cert), zcert_meta (cert, "name"));
    }
    else {
        cert = zcert_new ();
        zcert_set_meta (cert, "name", "%s", "Grace");
        if (zcert_save (cert, argv [2]))
            return 1;
        printf ("%s\\n%s\\n", zcert_public_txt (cert), zcert_secret_txt (cert));
    }
    zcert_destroy (&cert);
    return 0;
}
`;
