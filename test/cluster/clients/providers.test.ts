/** Addresses from metadata services, as EC2 (IMDSv2) and OpenStack answer: servers of this test. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { checkAddresses } from "../../../src/cluster/clients/address-providers.js";
import { ec2Addresses, interfaceAddresses, openStackAddresses } from "../../../src/cluster/index.js";

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function metadata(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const never = new AbortController().signal;
const MAC = "02:29:96:8f:6a:2d";
const FILES: Readonly<Record<string, string>> = {
  "network/interfaces/macs/": `${MAC}/\n02:00:00:00:00:01/`,
  [`network/interfaces/macs/${MAC}/device-number`]: "0",
  [`network/interfaces/macs/${MAC}/local-ipv4s`]: "172.31.5.9\n172.31.5.10",
  [`network/interfaces/macs/${MAC}/subnet-ipv4-cidr-block`]: "172.31.0.0/20",
  [`network/interfaces/macs/${MAC}/ipv4-associations/`]: "54.1.2.3",
  [`network/interfaces/macs/${MAC}/ipv4-associations/54.1.2.3`]: "172.31.5.9",
  "network/interfaces/macs/02:00:00:00:00:01/device-number": "1",
  "network/interfaces/macs/02:00:00:00:00:01/local-ipv4s": "10.0.0.7",
};

/** As EC2: nothing without a token, which a PUT gives. */
function ec2(asked: string[]) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url === "/latest/api/token") {
      const ttl = request.headers["x-aws-ec2-metadata-token-ttl-seconds"];
      response.writeHead(request.method === "PUT" && ttl === "60" ? 200 : 400).end("the-token");
      return;
    }
    const file = FILES[(request.url ?? "").replace("/latest/meta-data/", "")];
    if (request.headers["x-aws-ec2-metadata-token"] !== "the-token") response.writeHead(401).end();
    else if (file === undefined) response.writeHead(404).end("not found");
    else response.end(file);
  };
}

describe("EC2", () => {
  it("gives private and public addresses with a token, and asks nothing without one", async () => {
    const asked: string[] = [];
    const endpoint = await metadata(ec2(asked));
    expect(await ec2Addresses({ endpoint, tokenTtl: 60 })(never)).toEqual([
      { ip: "172.31.5.9", interface: "eth0", prefix: 20, public: "54.1.2.3" },
      { ip: "172.31.5.10", interface: "eth0", prefix: 20, public: undefined },
      { ip: "10.0.0.7", interface: "eth1", prefix: 0, public: undefined },
    ]);
    expect(asked[0]).toBe("PUT /latest/api/token");
    expect(asked.slice(1).every((each) => each.startsWith("GET /latest/meta-data/"))).toBe(true);
  });

  it("does not fall back to IMDSv1 when no token is given", async () => {
    const asked: string[] = [];
    const endpoint = await metadata((request, response) => {
      asked.push(request.method ?? "");
      response.writeHead(request.method === "PUT" ? 403 : 200).end(MAC);
    });
    await expect(ec2Addresses({ endpoint })(never)).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
    expect(asked).toEqual(["PUT"]);
  });

  it("names the hop limit when the answer to the PUT does not come", async () => {
    const endpoint = await metadata(() => undefined);
    await expect(ec2Addresses({ endpoint, timeout: 50 })(never)).rejects.toMatchObject({
      code: "ETIMEDOUT",
      message: expect.stringContaining("hop limit"),
    });
  });
});

describe("OpenStack", () => {
  const network = {
    links: [{ id: "tap1", ethernet_mac_address: "fa:16:3e:00:00:01", name: "ens3" }],
    networks: [
      { id: "n0", type: "ipv4", link: "tap1", ip_address: "192.168.0.10", netmask: "255.255.255.0" },
      { id: "n1", type: "ipv6", link: "tap1", ip_address: "2001:db8::5/64" },
      { id: "n2", type: "ipv4_dhcp", link: "tap1" },
    ],
  };

  it("gives the fixed addresses, and the floating one for the address that has it", async () => {
    const files: Readonly<Record<string, string>> = {
      "/openstack/latest/network_data.json": JSON.stringify(network),
      "/latest/meta-data/local-ipv4": "192.168.0.10",
      "/latest/meta-data/public-ipv4": "203.0.113.7",
    };
    const endpoint = await metadata((request, response) => {
      const file = files[request.url ?? ""];
      response.writeHead(file === undefined ? 404 : 200).end(file);
    });
    expect(await openStackAddresses({ endpoint })(never)).toEqual([
      { ip: "192.168.0.10", interface: "ens3", prefix: 24, public: "203.0.113.7" },
      { ip: "2001:db8::5", interface: "ens3", prefix: 64, public: undefined },
    ]);
  });

  it.each([
    ["no such file", (_: IncomingMessage, response: ServerResponse) => void response.writeHead(404).end()],
    ["no JSON", (_: IncomingMessage, response: ServerResponse) => void response.end("<html>")],
    [
      "endless bytes",
      (_: IncomingMessage, response: ServerResponse) => void response.end(Buffer.alloc(70_000)),
    ],
  ])("rejects for %s", async (_, answer) => {
    const endpoint = await metadata(answer);
    await expect(openStackAddresses({ endpoint })(never)).rejects.toMatchObject({ code: "ERR_PROTOCOL" });
  });
});

describe("options and results", () => {
  it("are checked", () => {
    for (const make of [
      () => ec2Addresses({ endpoint: "ftp://x" }),
      () => ec2Addresses({ endpoint: "http://x/path" }),
      () => ec2Addresses({ tokenTtl: 21_601 }),
      () => openStackAddresses({ timeuot: 1 } as never),
    ])
      expect(make).toThrow(expect.objectContaining({ code: "EINVAL" }));
    for (const given of [
      undefined,
      [null],
      [{ ip: "x" }],
      [{ ip: "10.0.0.1", public: "y" }],
      [{ ip: "10.0.0.1", prefix: "8" }],
    ])
      expect(() => checkAddresses(given), JSON.stringify(given)).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    expect(checkAddresses([{ ip: "::ffff:10.0.0.1" }])).toEqual([
      { ip: "10.0.0.1", interface: "", prefix: 0, public: undefined },
    ]);
  });

  it("of the interfaces have neither loopback nor link-local addresses", async () => {
    for (const { ip, interface: name } of await interfaceAddresses()(never)) {
      expect(ip).not.toMatch(/^127\.|^::1$|^fe80/i);
      expect(name).not.toBe("");
    }
  });
});
