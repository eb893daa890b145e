// @ts-check
/**
 * A registry of npm that has only the tarballs it is given, for installs by name: node scripts/registry.js FILE…
 * It prints its address, and ends when its standard input does.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

/** @type {Map<string, { manifest: any, file: string }>} */
const packages = new Map();
for (const file of process.argv.slice(2)) {
  const manifest = JSON.parse(
    execFileSync("tar", ["xzOf", file, "package/package.json"], { encoding: "utf8" }),
  );
  packages.set(manifest.name, { manifest, file });
}

const server = createServer(({ url = "", headers }, response) => {
  const [, name = "", tarball] = /^\/([^?]*?)(\/-\/tarball)?$/.exec(decodeURIComponent(url)) ?? [];
  const found = packages.get(name);
  if (found === undefined) return response.writeHead(404).end();
  if (tarball !== undefined) return response.end(readFileSync(found.file));
  const { manifest } = found;
  const { version } = manifest;
  const dist = { tarball: `http://${headers.host}/${name}/-/tarball` };
  const versions = { [version]: { ...manifest, dist } };
  return response.end(JSON.stringify({ name, "dist-tags": { latest: version }, versions }));
});
server.listen(0, "127.0.0.1", () => {
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  console.log(`http://127.0.0.1:${port}/`);
});
process.stdin.resume().on("end", () => process.exit());
