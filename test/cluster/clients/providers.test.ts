/** Addresses from metadata services, as EC2 (IMDSv2) and OpenStack answer. */
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { checkAddresses, interfaceAddresses } from "../../../src/cluster/clients/addresses.js";
import { ec2Addresses } from "../../../src/cluster/index.js";
import { webServers } from "../nodes.js";

const listen = webServers();
const metadata = async (answer: RequestListener): Promise<string> =>
  `http://${await listen(createServer(answer))}`;

const never = new AbortController().signal;
const FILES: Readonly<Record<string, string>> = { "local-ipv4": "172.31.5.9", "public-ipv4": "54.1.2.3\n" };

/** As EC2: nothing without a token, which a PUT gives. */
function ec2(asked: string[]): RequestListener {
  return (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url === "/latest/api/token") {
      const ttl = request.headers["x-aws-ec2-metadata-token-ttl-seconds"];
      response.writeHead(request.method === "PUT" && Number(ttl) > 0 ? 200 : 400).end("the-token");
      return;
    }
    const file = FILES[(request.url ?? "").replace("/latest/meta-data/", "")];
    if (request.headers["x-aws-ec2-metadata-token"] !== "the-token") response.writeHead(401).end();
    else if (file === undefined) response.writeHead(404).end("not found");
    else response.end(file);
  };
}

describe("the metadata service of a cloud", () => {
  it("gives the private and the public address with a token, and is asked nothing without one", async () => {
    const asked: string[] = [];
    const endpoint = await metadata(ec2(asked));
    // As in a container: no interface has the address.
    const address = { ip: "172.31.5.9", interface: "", prefix: 0, public: "54.1.2.3" };
    expect(await ec2Addresses({ endpoint })(never)).toEqual([address]);
    expect(asked[0]).toBe("PUT /latest/api/token");
    expect(asked.slice(1).every((each) => each.startsWith("GET /latest/meta-data/"))).toBe(true);
  });

  it("adds the public address to the interface that has the private one; OpenStack has no tokens", async () => {
    const own = interfaceAddresses();
    const [first] = own;
    if (first === undefined) return; // A machine without a network.
    const files: Readonly<Record<string, string>> = {
      "/latest/meta-data/local-ipv4": first.ip,
      "/latest/meta-data/public-ipv4": "203.0.113.7",
    };
    const endpoint = await metadata((request, response) => {
      const file = request.method === "GET" ? files[request.url ?? ""] : undefined;
      response.writeHead(file === undefined ? 404 : 200).end(file);
    });
    const both = { ...first, public: "203.0.113.7" };
    expect(await ec2Addresses({ endpoint })(never)).toEqual([both, ...own.slice(1)]);
  });

  it("is not asked without a token when it refuses one", async () => {
    const asked: string[] = [];
    const endpoint = await metadata((request, response) => {
      asked.push(request.method ?? "");
      response.writeHead(request.method === "PUT" ? 403 : 200).end("172.31.5.9");
    });
    await expect(ec2Addresses({ endpoint })(never)).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
    expect(asked).toEqual(["PUT"]);
  });

  it("names the hop limit when the answer to the PUT does not come", async () => {
    const endpoint = await metadata(() => undefined);
    const error = { code: "ETIMEDOUT", message: expect.stringContaining("hop limit") };
    await expect(ec2Addresses({ endpoint, timeout: 50 })(never)).rejects.toMatchObject(error);
  });

  it.each<[what: string, answer: (response: ServerResponse) => unknown]>([
    ["no such file", (response) => response.writeHead(404).end()],
    ["no address", (response) => response.end("<html>")],
    ["endless bytes", (response) => response.end(Buffer.alloc(70_000))],
  ])("rejects for %s", async (_, answer) => {
    const endpoint = await metadata((_request, response) => void answer(response));
    await expect(ec2Addresses({ endpoint })(never)).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
  });
});

describe("options and results", () => {
  it("are checked", () => {
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    for (const options of [{ endpoint: "ftp://x" }, { endpoint: "http://x/path" }, { timeuot: 1 }])
      expect(() => ec2Addresses(options)).toThrow(EINVAL);
    for (const given of [
      undefined,
      [null],
      [{ ip: "x" }],
      [{ ip: "10.0.0.1", public: "y" }],
      [{ ip: "10.0.0.1", prefix: "8" }],
      [{ ip: "10.0.0.1", prefix: 33 }],
      [{ ip: "fd00::1", prefix: 129 }],
      [{ ip: "10.0.0.1", prefix: -1 }],
    ])
      expect(() => checkAddresses(given), JSON.stringify(given)).toThrow(EINVAL);
    const mapped = { ip: "10.0.0.1", interface: "", prefix: 0, public: undefined };
    expect(checkAddresses([{ ip: "::ffff:10.0.0.1" }])).toEqual([mapped]);
  });

  it("of the interfaces have neither loopback nor link-local addresses", async () => {
    for (const { ip, interface: name } of interfaceAddresses()) {
      expect(ip).not.toMatch(/^127\.|^::1$|^fe80/i);
      expect(name).not.toBe("");
    }
  });
});
