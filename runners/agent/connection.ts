/** One connection of an agent to its hub: greets, answers until it ends, and says how it ended. */
import { WebSocket } from "ws";
import { DeviceError, toErrorData } from "../errors.js";
import type { Answers, FromHost, FromWorker, RequestOf } from "../protocol.js";
import { BEAT_MS, type Beat, CLOSED, type Hello, type Note } from "../web/hello.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import { shown } from "./address.js";

export interface ConnectionOptions {
  address: URL;
  hello: Hello;
  /** Does what the hub asks. */
  ask(request: RequestOf<keyof Answers>, signal: AbortSignal): Promise<unknown>;
  /** State of the device while it works. */
  beat(): Promise<Beat["state"]>;
  /** Accept a certificate that no authority has signed. */
  insecure?: boolean;
  /** Told once the hub has taken the device in, under this name. */
  onJoined?(name: string): void;
  /** Told what the hub's host is about. */
  onNote?(note: Note): void;
  signal: AbortSignal;
}

/** How a connection ended. `final`: trying again would end the same way. */
export interface Ending {
  reason: DeviceError;
  joined: boolean;
  /** Whether anything was asked, so that the runtime holds models of a host that has gone. */
  used: boolean;
  final: boolean;
}

const HANDSHAKE_MS = 15_000;
const PING_MS = 10_000;
/** Pings without an answer after which the hub counts as gone. */
const MISSED = 4;
const MAX_MESSAGE_BYTES = 2 ** 30;

/** Settles when the connection has ended, for whatever reason; never rejects. */
export function serveConnection(o: ConnectionOptions): Promise<Ending> {
  const { address, signal } = o;
  const ws = new WebSocket(address, {
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: MAX_MESSAGE_BYTES,
    rejectUnauthorized: !o.insecure,
    perMessageDeflate: false,
  });
  const running = new Map<number, AbortController>();
  let joined = false;
  let used = false;
  let missed = 0;
  let failure: DeviceError | undefined;
  let final = false;
  const send = (message: FromWorker | { beat: Beat }): void => {
    if (ws.readyState === WebSocket.OPEN) ws.send(encodeMessage(message));
  };
  const fail = (reason: DeviceError, isFinal: boolean): void => {
    failure ??= reason;
    final ||= isFinal;
    ws.terminate();
  };

  const answer = async (id: number, request: RequestOf<keyof Answers>): Promise<void> => {
    const controller = new AbortController();
    running.set(id, controller);
    used = true;
    try {
      send({ id, ok: true, value: await o.ask(request, controller.signal) });
    } catch (error) {
      const data = toErrorData(error, "device-failed");
      send({ id, ok: false, error: data });
      // Its models went with it: on a new connection the hub loads them again.
      if (data.code === "runtime-crashed") {
        failure ??= new DeviceError(data.code, data.message);
        ws.close(1011, "the runtime crashed");
      }
    } finally {
      running.delete(id);
    }
  };

  const receive = (data: Buffer): void => {
    const message = decodeMessage(data) as FromHost | { name: string };
    if ("request" in message) void answer(message.id, message.request as RequestOf<keyof Answers>);
    else if ("abort" in message)
      running.get(message.abort)?.abort(new DeviceError("aborted", "the work on the device was stopped"));
    else if ("note" in message) o.onNote?.(message.note);
    else if ("name" in message) {
      joined = true;
      o.onJoined?.(message.name);
    }
  };

  const beats = setInterval(async () => {
    if (running.size > 0) send({ beat: { state: await o.beat(), done: null, p50Ms: null, p95Ms: null } });
  }, BEAT_MS);
  const pings = setInterval(() => {
    if (ws.readyState !== WebSocket.OPEN) return;
    if (++missed > MISSED) fail(new DeviceError("hub-silent", "the hub has stopped answering"), false);
    else ws.ping();
  }, PING_MS);

  ws.on("open", () => send(o.hello as unknown as FromWorker));
  ws.on("pong", () => {
    missed = 0;
  });
  ws.on("message", (data: Buffer) => {
    missed = 0;
    try {
      receive(data);
    } catch {
      fail(new DeviceError("message", "what answers there does not speak as a hub of this version does"), !joined);
    }
  });
  ws.on("unexpected-response", (_, response) => {
    const refusal = refusalOf(response.statusCode ?? 0, address);
    fail(refusal.reason, refusal.final);
  });
  ws.on("error", (error: NodeJS.ErrnoException) => {
    const unreachable = unreachableBy(error, address);
    failure ??= unreachable.reason;
    final ||= unreachable.final;
  });
  const leave = () => ws.close(1000);
  signal.addEventListener("abort", leave, { once: true });

  return new Promise((resolve) => {
    ws.on("close", (code, why) => {
      clearInterval(beats);
      clearInterval(pings);
      signal.removeEventListener("abort", leave);
      for (const controller of running.values()) controller.abort(new DeviceError("hub-lost", "the hub has gone"));
      const closing = closingOf(code, why.toString(), joined);
      resolve({ reason: failure ?? closing.reason, joined, used, final: final || (!failure && closing.final) });
    });
    if (signal.aborted) leave();
  });
}

type Reason = Pick<Ending, "reason" | "final">;

function refusalOf(status: number, address: URL): Reason {
  const where = shown(address);
  if (status === 401) {
    return {
      final: true,
      reason: new DeviceError("hub-token", "the hub does not accept this token", {
        where,
        hint: "copy the one that edgefit hub shows now; a hub may have a new one after a restart",
      }),
    };
  }
  if (status === 429 || status === 503)
    return { final: false, reason: new DeviceError("hub-busy", "the hub takes nobody in at this moment", { where }) };
  return {
    final: true,
    reason: new DeviceError("hub-address", `what answers there is no hub of edgefit (HTTP status ${status})`, {
      where,
      hint: "copy the address that edgefit hub shows",
    }),
  };
}

const CERTIFICATE = /CERT|SIGNED|ALTNAME/;

function unreachableBy(error: NodeJS.ErrnoException, address: URL): Reason {
  const where = shown(address);
  const code = error.code ?? "";
  if (CERTIFICATE.test(code)) {
    return {
      final: true,
      reason: new DeviceError("hub-certificate", "no authority has signed the hub's certificate", {
        where,
        hint: "--insecure joins all the same, if this is your own hub in your own network; or take the hub's http address",
      }),
    };
  }
  if (code === "EPROTO" || code.startsWith("HPE_")) {
    return {
      final: true,
      reason: new DeviceError("hub-address", "what answers there is no hub of edgefit", {
        where,
        hint: "http and https addresses of a hub have different ports",
      }),
    };
  }
  const words: Record<string, string> = {
    ECONNREFUSED: "nothing listens there",
    ENOTFOUND: "there is no machine of that name",
    EAI_AGAIN: "names cannot be looked up now",
    EHOSTUNREACH: "there is no way to that machine",
    ENETUNREACH: "there is no network",
    ETIMEDOUT: "the machine does not answer",
    ECONNRESET: "the connection broke off",
  };
  const what = words[code] ?? (/timed out/i.test(error.message) ? words.ETIMEDOUT : error.message);
  return {
    final: false,
    reason: new DeviceError("hub-unreachable", `the hub cannot be reached: ${what}`, { where, cause: error }),
  };
}

function closingOf(code: number, why: string, joined: boolean): Reason {
  if (code === CLOSED.replaced) {
    return {
      final: true,
      reason: new DeviceError("agent-replaced", "another agent of this machine has taken the place of this one", {
        hint: "give each of several agents on one machine a --name of its own",
      }),
    };
  }
  if (code === CLOSED.malformed && !joined) {
    return {
      final: true,
      reason: new DeviceError("hub-refused", `the hub refuses this agent: ${why || "it does not understand it"}`, {
        hint: "use the same version of edgefit on both sides",
      }),
    };
  }
  const what = why ? `: ${why}` : code === 1006 ? ": the connection broke off" : "";
  return { final: false, reason: new DeviceError("hub-lost", `the hub has ended the connection${what}`) };
}
