/** An authority, a server's and a client's certificate, made by openssl in a folder. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export interface Certificates {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

/** The paths of the files. The server is at 127.0.0.1. */
export function makeCertificates(folder: string): Certificates {
  const authority = ["-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority"];
  openssl(folder, "req", "-x509", ...NEW_KEY, ...authority);
  sign(folder, "server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  makeClient(folder);
  const at = (name: string): string => join(folder, name);
  return {
    ca: at("ca.pem"),
    serverCert: at("server.pem"),
    serverKey: at("server.key"),
    clientCert: at("client.pem"),
    clientKey: at("client.key"),
  };
}

/** The client's certificate, the first time or a new one. */
export function makeClient(folder: string): void {
  sign(folder, "client", "extendedKeyUsage=clientAuth\n");
}

function sign(folder: string, name: string, extension: string): void {
  openssl(folder, "req", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", "/O=shoal");
  writeFileSync(join(folder, `${name}.ext`), extension);
  const by = [
    "-CA",
    "ca.pem",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    `${name}.ext`,
  ];
  openssl(folder, "x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...by);
}

function openssl(folder: string, ...args: string[]): void {
  execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
}
