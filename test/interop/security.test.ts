/** What the matrix (sockets.test.ts) does not ask of PLAIN and CURVE with pyzmq; and certificate files. */
import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import {
  type Certificate,
  Context,
  curveKeyPair,
  type PeerCredentials,
  Reply,
  readCertificate,
  writeCertificate,
} from "../../src/index.js";
import { CURVE_SERVER, client, stranger } from "../contract/support/keys.js";
import { nextEvent } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { sharedFolder } from "../support/folders.js";
import { missing } from "../support/peers.js";
import { OURS } from "./kinds.js";
import { peerFile } from "./peer.js";
import { NO_PYTHON, usePython } from "./python-peer.js";

const LIMIT = 5_000;

const folder = sharedFolder();
const own = closeAfterEach();

interface CertificateFiles {
  readonly public: string;
  readonly secret: string;
  readonly keys: [publicKey: string, secretKey: string];
}

describe.skipIf(NO_PYTHON).each(OURS)("engine %s: security with pyzmq", (engine) => {
  const context = new Context({ engine });
  const peer = usePython();

  it.skipIf(engine === "libzmq")("PLAIN: has our server check pyzmq's user name and password", async () => {
    const seen: PeerCredentials[] = [];
    const rep = own(
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
    const refused = nextEvent(rep, "peer:refused");
    const stranger = await peer().open("REQ", { PLAIN_USERNAME: "admin", PLAIN_PASSWORD: "wrong" });
    await stranger.call("connect", { endpoint: rep.lastEndpoint });
    expect(await refused).toMatchObject({ mechanism: "PLAIN", error: { code: "ERR_AUTHENTICATION" } });
    expect(rep.stats().peers).toBe(0);

    const friend = await peer().open("REQ", { PLAIN_USERNAME: "admin", PLAIN_PASSWORD: "ö-pen" });
    await friend.call("connect", { endpoint: rep.lastEndpoint });
    await friend.send("question");
    expect(String(await rep.receive())).toBe("question");
    expect(seen[0]).toMatchObject({ mechanism: "PLAIN", username: "admin", password: "wrong" });
    expect(seen.at(-1)).toMatchObject({ username: "admin", password: "ö-pen" });
  });

  it("CURVE: ends the handshake of a client with the wrong server key, and says so on our side", async () => {
    const rep = own(new Reply({ context, ...CURVE_SERVER }));
    await rep.bind("tcp://127.0.0.1:*");
    const failed = nextEvent(rep, "handshake:error:protocol");
    const req = await peer().open("REQ", {
      CURVE_SERVERKEY: stranger.publicKey,
      CURVE_PUBLICKEY: client.publicKey,
      CURVE_SECRETKEY: client.secretKey,
    });
    await req.call("connect", { endpoint: rep.lastEndpoint });
    expect((await failed).error).toMatchObject({ code: "ERR_ZMTP_CRYPTOGRAPHIC" });
    expect(rep.stats().peers).toBe(0);
  });

  describe("certificate files", () => {
    const metadata = { name: "Ada", organization: "Engine & Sons", "e-mail": "ada@example.com" };

    it("of ours are read by pyzmq, one by one and as a folder", async () => {
      const ours = join(folder, "ours");
      const pair = curveKeyPair();
      await peer().call("make_folder", { folder: ours });
      const { publicFile, secretFile } = await writeCertificate(join(ours, "ada.key"), { ...pair, metadata });
      expect(await peer().call("load_certificate", { file: publicFile })).toEqual({
        public: pair.publicKey,
        secret: null,
      });
      expect(await peer().call("load_certificate", { file: secretFile })).toEqual({
        public: pair.publicKey,
        secret: pair.secretKey,
      });
      expect((await stat(secretFile)).mode & 0o777).toBe(0o600);
      expect(await peer().call("load_certificates", { folder: ours })).toEqual({ keys: [pair.publicKey] });
      expect((await readdir(ours)).sort()).toEqual(["ada.key", "ada.key_secret"]);
    });

    it("of pyzmq are read by us, its unquoted metadata in the secret file too", async () => {
      const made = await peer().call<CertificateFiles>("create_certificate", {
        folder,
        name: "ada",
        metadata,
      });
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
      await promisify(execFile)("cc", [peerFile("zcert.c"), "-o", program, "-lczmq"]);
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
