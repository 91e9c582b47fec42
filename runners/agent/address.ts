/** Where a hub is, from what a person typed. */
import { DeviceError } from "../errors.js";

/**
 * The address of a hub's socket. `hub` is the address that `edgefit hub` shows, with or without its token; http or ws without
 * a scheme. Throws DeviceError `hub-address` for what is none, and `hub-token` without a token.
 */
export function joinAddress(hub: string, token: string | undefined): URL {
  const fail = (cause?: unknown): never => {
    throw new DeviceError("hub-address", `"${hub}" is no address of a hub`, {
      where: "--hub",
      hint: "copy the one that edgefit hub shows, such as http://192.168.1.5:8717",
      cause,
    });
  };
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(hub) ? hub : `http://${hub}`);
  } catch (cause) {
    return fail(cause);
  }
  if (!["http:", "https:", "ws:", "wss:"].includes(url.protocol) || url.hostname === "") return fail();
  const given = token ?? url.searchParams.get("token");
  if (!given) {
    throw new DeviceError("hub-token", "the hub's token is missing", {
      where: "--token",
      hint: "edgefit hub shows it, at the end of its address",
    });
  }
  const out = new URL("/join", url);
  out.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  out.search = new URLSearchParams({ token: given }).toString();
  out.hash = out.username = out.password = "";
  return out;
}

/** The same for people: without the token. */
export const shown = (url: URL): string => `${url.protocol === "wss:" ? "https" : "http"}://${url.host}`;
