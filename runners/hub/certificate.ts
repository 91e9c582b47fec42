/** A self-signed certificate for the addresses of this machine, kept so that a phone need accept it only once. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { generate } from "selfsigned";
import { z } from "zod";
import { stateFolder, writePrivate } from "./state.js";

export interface Certificate {
  /** PEM. */
  key: string;
  cert: string;
  /** SHA-256 of the certificate, in pairs of digits: what a browser shows of it. */
  fingerprint: string;
  /** False when it was made just now, and phones must accept it. */
  reused: boolean;
}

const FILE = "hub-certificate.json";
const keptSchema = z.object({ key: z.string(), cert: z.string() });
const DAY_MS = 86_400_000;
/** Browsers refuse certificates of this use that are valid for much longer. */
const VALID_DAYS = 397;
const RENEW_DAYS = 7;

/**
 * The kept certificate if it names all of `hosts` and stays valid for a week, else a new one, which is kept.
 * @param hosts addresses and names under which the hub is opened; `localhost` is always among them
 */
export async function certificateFor(hosts: readonly string[], folder = stateFolder()): Promise<Certificate> {
  const wanted = [...new Set(["localhost", "127.0.0.1", ...hosts])];
  const kept = await readKept(join(folder, FILE));
  if (kept && covers(kept.cert, wanted)) return { ...kept, fingerprint: fingerprintOf(kept.cert), reused: true };
  const now = Date.now();
  const made = await generate([{ name: "commonName", value: "edgefit hub" }], {
    keyType: "ec",
    algorithm: "sha256",
    notBeforeDate: new Date(now - DAY_MS), // phones' clocks differ
    notAfterDate: new Date(now + VALID_DAYS * DAY_MS),
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      {
        name: "subjectAltName",
        altNames: wanted.map((host) =>
          isIP(host) ? { type: 7 as const, ip: host } : { type: 2 as const, value: host },
        ),
      },
    ],
  });
  const certificate = { key: made.private, cert: made.cert };
  await writePrivate(folder, FILE, JSON.stringify(certificate));
  return { ...certificate, fingerprint: fingerprintOf(made.cert), reused: false };
}

const fingerprintOf = (cert: string): string => new X509Certificate(cert).fingerprint256;

function covers(cert: string, hosts: readonly string[]): boolean {
  const x509 = new X509Certificate(cert);
  const named = (host: string) => (isIP(host) ? x509.checkIP(host) : x509.checkHost(host)) !== undefined;
  return Date.parse(x509.validTo) - Date.now() > RENEW_DAYS * DAY_MS && hosts.every(named);
}

/** What does not hold a key and a certificate that belong together is as good as nothing: a new one replaces it. */
async function readKept(path: string): Promise<z.infer<typeof keptSchema> | undefined> {
  try {
    const kept = keptSchema.parse(JSON.parse(await readFile(path, "utf8")));
    return new X509Certificate(kept.cert).checkPrivateKey(createPrivateKey(kept.key)) ? kept : undefined;
  } catch {
    return undefined;
  }
}
