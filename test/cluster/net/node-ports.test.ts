/** Port ranges: what is one, and which port nodes take. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { ClusterNode, type ClusterNodeOptions } from "../../../src/cluster/index.js";
import { bindFree, checkPorts } from "../../../src/cluster/ports.js";
import { freeRange } from "../../support/ports.js";
import { portOf, testNodes } from "../nodes.js";

const EINVAL = expect.objectContaining({ code: "EINVAL" });
const { started: start } = testNodes(() => ({ multicast: false, messaging: false }));
const started = async (options: ClusterNodeOptions): Promise<number> => portOf(await start("node", options));

describe("port ranges", () => {
  it("are FIRST-LAST, or one port", () => {
    expect(checkPorts("20000-20100")).toBe("20000-20100");
    expect(checkPorts("4369")).toBe("4369-4369");
    for (const wrong of ["", "0-5", "5-4", "1-65536", "a-b", "20000 - 20100", "1-2-3", "-5", 4_369, null])
      expect(() => checkPorts(wrong as string), String(wrong)).toThrow(EINVAL);
    for (const ports of ["5-4", 7 as never]) expect(() => new ClusterNode({ ports })).toThrow(EINVAL);
  });

  it("are tried in their order, after the preferred port, until one is free; another error ends that", async () => {
    const tried: number[] = [];
    const inUse = async (port: number): Promise<number> => {
      tried.push(port);
      if (port < 12) throw Object.assign(new Error("in use"), { code: "EADDRINUSE" });
      return port;
    };
    expect(await bindFree(9, "10-14", inUse)).toBe(12);
    expect(tried).toEqual([9, 10, 11, 12]);
    tried.length = 0;
    expect(await bindFree(11, "10-14", inUse)).toBe(12);
    expect(tried).toEqual([11, 10, 12]);
    await expect(bindFree(0, "10-11", inUse)).rejects.toMatchObject({ code: "EADDRINUSE" });
    const denied = (): Promise<number> => Promise.reject(Object.assign(new Error("no"), { code: "EACCES" }));
    await expect(bindFree(0, "10-11", denied)).rejects.toMatchObject({ code: "EACCES" });
  });

  it("give each node of a host the next port, and one too many an error", async () => {
    const first = await freeRange(3);
    const ports = `${first}-${first + 2}`;
    // Taken for datagrams alone: it is not taken then.
    const other = createSocket("udp4").bind(first + 1, "127.0.0.1");
    await once(other, "listening");
    expect([await started({ ports }), await started({ ports, port: first + 2 })]).toEqual([first, first + 2]);
    await expect(started({ ports })).rejects.toMatchObject({ code: "EADDRINUSE" });
    other.close();
    await once(other, "close");
    expect(await started({ ports })).toBe(first + 1);
  });
});
