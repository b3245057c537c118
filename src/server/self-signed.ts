import { X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bytes, concat, encode } from "../bytes.ts";
import { systemCode, systemError } from "../errors.ts";

/** How long a certificate is good, in years: its users pin it, and a change would stop them. */
const YEARS = 10;

export interface KeyPair {
  /** PEM. */
  cert: string;
  key: string;
  /** SHA-256, as clients show it. */
  fingerprint: string;
}

/** A rack's own certificate, made the first time it is asked for and kept in its directory. */
export async function ownCertificate(dir: string, hosts: readonly string[]): Promise<KeyPair> {
  const [certFile, keyFile] = [join(dir, "tls-cert.pem"), join(dir, "tls-key.pem")];
  try {
    const [cert, key] = await Promise.all([readFile(certFile, "utf8"), readFile(keyFile, "utf8")]);
    return { cert, key, fingerprint: new X509Certificate(cert).fingerprint256 };
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw systemError(`Cannot read ${certFile}`, error);
  }
  const { cert, key } = await makeCertificate(hosts, new Date());
  await writeFile(keyFile, key, { mode: 0o600 });
  await writeFile(certFile, cert, { mode: 0o644 });
  return { cert, key, fingerprint: new X509Certificate(cert).fingerprint256 };
}

/** A certificate signed with its own key (ECDSA P-256): https://www.rfc-editor.org/rfc/rfc5280#section-4.1 */
export async function makeCertificate(
  hosts: readonly string[],
  now: Date,
): Promise<{ cert: string; key: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const end = new Date(now);
  end.setUTCFullYear(end.getUTCFullYear() + YEARS);
  const name = sequence(set(sequence(COMMON_NAME, utf8("davit rack"))));
  const serial = crypto.getRandomValues(new Uint8Array(16));
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // Positive, and without a leading zero.
  const body = sequence(
    tagged(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    sequence(ECDSA_SHA256),
    name,
    sequence(time(new Date(now.getTime() - 3_600_000)), time(end)),
    name,
    spki,
    tagged(
      0xa3,
      sequence(extension(BASIC_CONSTRAINTS, sequence(TRUE)), extension(ALT_NAMES, altNames(hosts))),
    ),
  );
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, keys.privateKey, body));
  const cert = sequence(body, sequence(ECDSA_SHA256), bits(ecdsaSignature(signature)));
  return { cert: pem("CERTIFICATE", cert), key: pem("PRIVATE KEY", pkcs8) };
}

/* DER, just what a certificate needs: https://www.itu.int/rec/T-REC-X.690 */

const COMMON_NAME = Uint8Array.of(6, 3, 0x55, 4, 3);
const ECDSA_SHA256 = Uint8Array.of(6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2);
const BASIC_CONSTRAINTS = Uint8Array.of(6, 3, 0x55, 0x1d, 0x13);
const ALT_NAMES = Uint8Array.of(6, 3, 0x55, 0x1d, 0x11);
const TRUE = Uint8Array.of(1, 1, 0xff);

function tagged(tag: number, ...parts: Uint8Array[]): Bytes {
  const body = concat(parts);
  const length = body.byteLength;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concat([Uint8Array.of(tag, ...head), body]);
}

function sequence(...parts: Uint8Array[]): Bytes {
  return tagged(0x30, ...parts);
}

function set(...parts: Uint8Array[]): Bytes {
  return tagged(0x31, ...parts);
}

function utf8(text: string): Bytes {
  return tagged(0x0c, encode(text));
}

/** Whole and positive: a leading zero where the first bit would make it negative. */
function integer(value: Uint8Array): Bytes {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const digits = value.subarray(start);
  return tagged(2, (digits[0] ?? 0) & 0x80 ? concat([Uint8Array.of(0), digits]) : digits);
}

function bits(value: Uint8Array): Bytes {
  return tagged(3, Uint8Array.of(0), value);
}

function time(date: Date): Bytes {
  return tagged(0x18, encode(`${date.toISOString().replaceAll(/[-:T]|\.\d+/g, "")}`));
}

function extension(id: Uint8Array, value: Uint8Array): Bytes {
  return sequence(id, tagged(4, value));
}

/** Names as `dNSName` [2], addresses as `iPAddress` [7]. */
function altNames(hosts: readonly string[]): Bytes {
  const names = [...new Set(["localhost", "127.0.0.1", ...hosts])];
  return sequence(
    ...names.map((host) => {
      const address = /^\d+\.\d+\.\d+\.\d+$/.test(host);
      return address ? tagged(0x87, Uint8Array.from(host.split("."), Number)) : tagged(0x82, encode(host));
    }),
  );
}

/** WebCrypto gives r and s side by side; certificates hold them as two integers. */
function ecdsaSignature(raw: Uint8Array): Bytes {
  const half = raw.byteLength / 2;
  return sequence(integer(raw.subarray(0, half)), integer(raw.subarray(half)));
}

function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").replaceAll(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
