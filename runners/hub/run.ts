/** A hub that stays: for this user's other commands, until it is stopped. */
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { DeviceError } from "../errors.js";
import { type Certificate, certificateFor } from "./certificate.js";
import { listHubDevices } from "./client.js";
import { lanAddresses } from "./phone.js";
import type { Registry } from "./registry.js";
import { type HubOptions, openHub } from "./server.js";
import { findHub, removeHubState, stateFolder, writeHubState } from "./state.js";

export interface StartOptions {
  /** Address to listen on. Default: all of this machine. */
  host?: string;
  /** Default 8717; with https, that is at the next one. 0: any free ones. */
  port?: number;
  /** Name or address that phones open. Default: the first address of a network. */
  name?: string;
  /** Default: a new one at each start. */
  token?: string;
  https?: boolean;
  limits?: HubOptions["limits"];
  extend?: HubOptions["extend"];
  /** Where the hub's address and certificate are kept. Default: `stateFolder()`. */
  folder?: string;
}

export interface StartedHub {
  devices: Registry;
  /** What a phone opens, token included: https where there is one. */
  pageUrl: string;
  /** The same without https; null where `pageUrl` is it. */
  plainUrl: string | null;
  certificate: Pick<Certificate, "fingerprint" | "reused"> | null;
  /** The plain address under which other machines reach it. */
  origin: string;
  /** For `--device`, from another machine. */
  remote: string;
  /** Devices are told that this is the end. */
  close(): Promise<void>;
}

export const DEFAULT_PORT = 8717;
const ALL = "0.0.0.0";

/** Throws DeviceError: `hub-running`, `no-network`, `hub-listen`, `hub-token-short`, `hub-name`, and where its files cannot be written. */
export async function startHub(o: StartOptions = {}): Promise<StartedHub> {
  const folder = o.folder ?? stateFolder();
  const host = o.host ?? ALL;
  const port = o.port ?? DEFAULT_PORT;
  if (o.token !== undefined && !/^[\w-]{8,200}$/.test(o.token)) {
    throw new DeviceError("hub-token-short", "a token needs 8 or more letters, digits, hyphens or underscores", {
      where: "--token",
      hint: "leave it out for a random one",
    });
  }
  const name = o.name ?? (host === ALL || host === "::" ? lanAddresses()[0] : host);
  if (name === undefined) {
    throw new DeviceError("no-network", "this machine has no address in a network that a phone could reach", {
      hint: "join a network, or name an address with --name; --host 127.0.0.1 is for browsers on this machine alone",
    });
  }
  if (!isIP(name) && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(name)) {
    throw new DeviceError("hub-name", `"${name}" is no name or address of a machine`, { where: "--name" });
  }
  await refuseSecond(folder);
  const certificate = o.https
    ? await certificateFor([name, ...lanAddresses(), hostname()].filter(isHost), folder)
    : null;
  const controlToken = randomBytes(24).toString("base64url");
  const hub = await openHub({
    host,
    port,
    controlToken,
    ...(o.token ? { token: o.token } : {}),
    ...(o.limits ? { limits: o.limits } : {}),
    ...(o.extend ? { extend: o.extend } : {}),
    ...(certificate ? { https: { ...certificate, port: port === 0 ? 0 : port + 1 } } : {}),
  });
  const local = host === ALL ? "127.0.0.1" : host === "::" ? "[::1]" : hostInUrl(host);
  const url = `http://${local}:${hub.port}`;
  try {
    await writeHubState({ url, controlToken, pid: process.pid, startedAt: new Date().toISOString() }, folder);
  } catch (error) {
    await hub.close();
    throw error;
  }
  const shown = hostInUrl(name);
  return {
    devices: hub.devices,
    pageUrl: hub.pageUrl(shown),
    plainUrl: certificate ? hub.pageUrl(shown, {}, false) : null,
    certificate,
    origin: `http://${shown}:${hub.port}`,
    remote: `hub:http://${shown}:${hub.port}#${controlToken}`,
    async close() {
      await removeHubState(folder);
      await hub.close();
    },
  };
}

const hostInUrl = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);

/** Certificates name hosts of this form; a machine's name may have others. */
const isHost = (name: string): boolean => isIP(name) > 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(name);

async function refuseSecond(folder: string): Promise<void> {
  const other = await findHub(folder);
  if (!other) return;
  try {
    await listHubDevices(other);
  } catch {
    return; // its process id went to another program
  }
  throw new DeviceError("hub-running", `a hub is running already, as process ${other.pid}`, {
    where: other.url,
    hint: "use that one, or stop it with Ctrl-C in its terminal; several devices may join one hub",
  });
}
