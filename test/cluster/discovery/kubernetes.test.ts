import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type KubernetesSourceOptions, kubernetesSource } from "../../../src/cluster/discovery/kubernetes.js";
import { type Certificates, makeCertificates } from "../../support/certificates.js";
import { sharedFolder } from "../../support/folders.js";
import { listening } from "../../support/listening.js";
import { ApiServer, pod, type Refusal, slice } from "./api-server.js";
import { Follower, selfAt } from "./follower.js";

const folder = sharedFolder();
const followers: Follower[] = [];
let files: Certificates;
let api: ApiServer;

beforeAll(() => {
  files = makeCertificates(folder);
});
beforeEach(async () => {
  api = new ApiServer(files);
  await api.run();
});
afterEach(async () => {
  await Promise.all(followers.splice(0).map((follower) => follower.stop()));
  await api.kill();
});

function follow(options: Partial<KubernetesSourceOptions> = {}): Follower {
  const basic = {
    service: "shoal",
    namespace: "sea",
    server: api.url,
    ca: files.ca,
    token: api.token,
    timeout: 1_000,
    relistInterval: 100,
  };
  const follower = new Follower(kubernetesSource({ ...basic, ...options }), selfAt("10.0.0.1:7946"));
  followers.push(follower);
  return follower;
}

describe("the options", () => {
  it.each<[object, RegExp]>([
    [{}, /service of kubernetesSource must be a Kubernetes name/],
    [{ service: "Shoal" }, /service of kubernetesSource.*got "Shoal"/],
    [{ service: "a/../b" }, /service of kubernetesSource/],
    [{ service: "shoal", namespace: "-x" }, /namespace of kubernetesSource/],
    [{ service: "shoal", port: 0 }, /port of kubernetesSource must be a number from 1 to 65,535/],
    [{ service: "shoal", port: "" }, /port of kubernetesSource/],
    [{ service: "shoal", addressType: "hostname" }, /"ip" or "dns"/],
    [{ service: "shoal", server: "tcp://10.0.0.1:1" }, /server of kubernetesSource must be "https:/],
    [{ service: "shoal", server: "https://10.0.0.1/api" }, /server of kubernetesSource/],
    [{ service: "shoal", server: "https://me:word@10.0.0.1" }, /server of kubernetesSource/],
    [{ service: "shoal", server: "https://10.0.0.1/?a=1" }, /server of kubernetesSource/],
    [{ service: "shoal", namespaces: "x" }, /did you mean namespace/],
  ])("are refused: %j", (options, message) => {
    const server = { server: "https://10.0.0.1" };
    expect(() => kubernetesSource({ ...server, ...options } as KubernetesSourceOptions)).toThrow(
      expect.objectContaining({ code: "EINVAL", message: expect.stringMatching(message) }),
    );
  });

  it("need a server outside of a pod, and have the pod's inside", () => {
    vi.stubEnv("KUBERNETES_SERVICE_HOST", undefined);
    expect(() => kubernetesSource({ service: "shoal" })).toThrow(/KUBERNETES_SERVICE_HOST is not set/);
    vi.stubEnv("KUBERNETES_SERVICE_HOST", "fd00::1");
    expect(kubernetesSource({ service: "shoal", namespace: "sea" }).name).toBe("kubernetes:sea/shoal");
    vi.unstubAllEnvs();
  });

  it("are those of the service account where they are not given; its token is read again, as is the list", async () => {
    const account = mkdtempSync(join(folder, "account-"));
    writeFileSync(join(account, "token"), "token-1\n");
    writeFileSync(join(account, "namespace"), "sea");
    copyFileSync(files.ca, join(account, "ca.crt"));
    const url = new URL(api.url);
    vi.stubEnv("KUBERNETES_SERVICE_HOST", url.hostname);
    vi.stubEnv("KUBERNETES_SERVICE_PORT", url.port);
    const source = kubernetesSource({ service: "shoal", serviceAccount: account, relistInterval: 200 });
    vi.unstubAllEnvs();
    api.set(slice("shoal-a", [pod("10.1.0.1")]));
    const follower = new Follower(source, selfAt("10.0.0.1:1"));
    followers.push(follower);
    await follower.has("10.1.0.1:7946");
    await api.kill();
    await follower.until(({ error }) => error?.code === "ECONNREFUSED");
    api.token = "token-2";
    await api.run();
    await follower.until(({ error }) => error?.code === "ERR_AUTHENTICATION");
    api.set(slice("shoal-a", [pod("10.1.0.1"), pod("10.1.0.2")]));
    writeFileSync(join(account, "token"), "token-2\n");
    await follower.has("10.1.0.1:7946", "10.1.0.2:7946");
    expect(follower.error).toBeUndefined();
  });
});

describe("a server that refuses or sends junk", () => {
  const refusal = (status: number): Refusal => ({ status, message: "because" });

  it.each<[Refusal | string, string, RegExp]>([
    [refusal(401), "ERR_AUTHENTICATION", /the token is not accepted.*because/],
    [refusal(403), "ERR_AUTHENTICATION", /needs list on endpointslices.*namespace sea.*because/],
    [refusal(500), "ERR_TRANSPORT", /status 500.*because/],
    [refusal(302), "ERR_TRANSPORT", /status 302.*because/],
    ["hello", "ERR_PROTOCOL", /expected JSON/],
    ["{}", "ERR_PROTOCOL", /not a list of EndpointSlices/],
    ['{"items":[1]}', "ERR_PROTOCOL", /an EndpointSlice has no name/],
  ])("puts the source down: %j", async (answer, code, message) => {
    api.answer = answer;
    const follower = follow();
    await follower.until(({ error }) => error !== undefined);
    expect(follower.error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(follower.error?.message).not.toContain("token-1");
  });

  it("has a certificate of somebody else: it is not trusted", async () => {
    const other = mkdtempSync(join(folder, "other-"));
    const follower = follow({ ca: makeCertificates(other).ca });
    await follower.until(({ error }) => error !== undefined);
    expect(follower.error?.message).toMatch(/certificate/);
    expect(api.requests).toBe(0);
  });
});

it("a server that switches protocols has failed, and is asked again", async () => {
  let asked = 0;
  const server = createServer((socket) => {
    asked += 1;
    socket.on("error", () => undefined).end("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  });
  const port = await listening(server);
  const source = kubernetesSource({ service: "shoal", namespace: "sea", server: `http://127.0.0.1:${port}` });
  const { signal } = new AbortController();
  for (const times of [1, 2]) {
    const lists = source.discover(selfAt("10.0.0.1:7946"), signal)[Symbol.asyncIterator]();
    await expect(lists.next()).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
    expect(asked).toBe(times);
  }
});
