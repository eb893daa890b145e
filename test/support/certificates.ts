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
  makeAuthority(folder, "ca");
  const extensions = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
  makeCertificate(folder, "server", { extensions });
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
  makeCertificate(folder, "client");
}

/** What a certificate says. */
export interface CertificateForm {
  /** Lines of extensions, such as `subjectAltName=DNS:name`. */
  readonly extensions?: string;
  readonly subject?: string;
  /** Negative: it has ended. */
  readonly days?: number;
  /** The name of the authority's files. */
  readonly authority?: string;
}

/** An authority in NAME.pem and NAME.key. */
export function makeAuthority(folder: string, name: string): void {
  const into = ["-keyout", `${name}.key`, "-out", `${name}.pem`, "-days", "2", "-subj", `/CN=${name}`];
  openssl(folder, "req", "-x509", ...NEW_KEY, ...into);
}

/** A certificate in NAME.pem, and its key in NAME.key. */
export function makeCertificate(folder: string, name: string, form: CertificateForm = {}): void {
  const {
    extensions = "extendedKeyUsage=clientAuth\n",
    subject = "/O=shoal",
    days = 2,
    authority = "ca",
  } = form;
  openssl(folder, "req", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject);
  writeFileSync(join(folder, `${name}.ext`), extensions);
  const by = ["-CA", `${authority}.pem`, "-CAkey", `${authority}.key`, "-CAcreateserial"];
  const what = ["-days", String(days), "-extfile", `${name}.ext`];
  openssl(folder, "x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...by, ...what);
}

function openssl(folder: string, ...args: string[]): void {
  execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
}
