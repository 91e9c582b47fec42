/** A device at the other end of a socket: greeted, kept alive, asked, and its answers checked. */
import type { WebSocket } from "ws";
import { z } from "zod";
import { DeviceError } from "../errors.js";
import {
  type Answers,
  type FromHost,
  type FromWorker,
  PROTOCOL_VERSION,
  type Request,
  type RequestOf,
} from "../protocol.js";
import type { Link } from "../remote.js";
import { Requests } from "../requests.js";
import { type Beat, beatSchema, CLOSED, type Hello, helloSchema, type Note, refusalSchema } from "../web/hello.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import { checkAnswer } from "./answers.js";
import { deviceName } from "./facts.js";
import { type Limits, rateLimit } from "./limits.js";

export interface JoinedDevice {
  hello: Hello;
  link: Link;
  /** For its screen: what it is used for, and the name that it has here. */
  tell(note: Note): void;
  named(name: string): void;
  /** Told of every sign of life. */
  onBeat: (beat: Beat) => void;
  /** Settles when the device has gone, with the reason. */
  gone: Promise<DeviceError>;
  /** Ends the socket; `gone` gets this reason. */
  dismiss(reason: DeviceError, code: number): void;
}

const errorText = z.string().max(10_000);
const answerSchema = z.union([
  z.object({ id: z.number().int(), ok: z.literal(true), value: z.unknown().optional() }),
  z.object({
    id: z.number().int(),
    ok: z.literal(false),
    error: z.object({
      code: errorText,
      message: errorText,
      where: errorText.optional(),
      hint: errorText.optional(),
    }),
  }),
]);

/** Waits for the greeting. Throws DeviceError when it does not come, is of another version, or says that nothing can run. */
export async function receiveDevice(ws: WebSocket, limits: Limits): Promise<JoinedDevice> {
  let reason: DeviceError | undefined;
  const post = (message: FromHost) => {
    if (ws.readyState === ws.OPEN) ws.send(encodeMessage(message));
  };
  const requests = new Requests(post);
  const end = (why: DeviceError, code: number): void => {
    reason ??= why;
    ws.close(code, why.message.slice(0, 120));
    // A page that hangs does not close its side.
    setTimeout(() => ws.terminate(), 1000).unref();
  };

  let missed = 0;
  ws.on("pong", () => {
    missed = 0;
  });
  const heartbeat = setInterval(() => {
    if (++missed <= limits.missedHeartbeats) return ws.ping();
    reason ??= lost("it stopped answering: it is asleep, or its network is gone", "wake it up and open the page again");
    ws.terminate();
  }, limits.heartbeatMs);
  heartbeat.unref();
  const gone = new Promise<DeviceError>((resolve) => {
    ws.once("close", (code) => {
      clearInterval(heartbeat);
      reason ??= lossOf(code);
      requests.end(reason);
      resolve(reason);
    });
  });

  const hello = await greeting(ws, gone, limits.greetingMs);
  const name = deviceName(hello);
  const mayTalk = rateLimit(limits.messagesPerSecond);
  let lastSign = 0;
  const device: JoinedDevice = {
    hello,
    gone,
    onBeat() {},
    tell: (note) => post({ note }),
    named: (name) => post({ name }),
    dismiss: end,
    link: {
      ask: (request, signal) => ask(request, signal),
      async close() {
        requests.end(new DeviceError("runner-closed", "the device runner was closed"));
        ws.close(1000);
        await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
        ws.terminate();
      },
    },
  };

  ws.on("message", (data: Buffer) => {
    missed = 0;
    lastSign = Date.now();
    try {
      const message = decodeMessage(data);
      const beat = beatSchema.safeParse(message);
      if (beat.success) {
        if (!mayTalk()) return tooMany();
        return device.onBeat(beat.data.beat);
      }
      const answer = answerSchema.parse(message) as Extract<FromWorker, { id: number }>;
      if (!requests.receive(answer) && !mayTalk()) tooMany();
    } catch {
      end(
        lost("it sent a message that is not well formed", "use the same version of edgefit on both sides"),
        CLOSED.malformed,
      );
    }
  });
  const tooMany = () =>
    end(
      lost(`it sent more than ${limits.messagesPerSecond} messages a second that nobody had asked for`),
      CLOSED.tooMany,
    );

  /** Asks with a limit on the time, and checks the answer. */
  async function ask<T extends keyof Answers>(request: RequestOf<T>, signal?: AbortSignal): Promise<Answers[T]> {
    let start = Date.now();
    lastSign = start;
    const everyMs = Math.min(1000, limits.silenceMs / 4, limits.jobMs / 4);
    let tick = start;
    const watch = setInterval(() => {
      const now = Date.now();
      // This machine slept or was too busy to listen: that is not the device's silence.
      const missedMs = now - tick > 3 * everyMs ? now - tick : 0;
      tick = now;
      start += missedMs;
      lastSign += missedMs;
      const silent = hello.beats === true && now - lastSign > limits.silenceMs;
      if (!silent && now - start <= limits.jobMs) return;
      const waited = Math.round((silent ? limits.silenceMs : limits.jobMs) / 1000);
      const what = silent ? `has given no sign of life for ${waited} s` : `has not finished within ${waited} s`;
      const hint = "its page hangs: close the tab and open it again, or try a smaller model";
      end(
        new DeviceError("device-silent", `${name} was asked to ${request.type} and ${what}`, { hint }),
        CLOSED.silent,
      );
    }, everyMs);
    watch.unref();
    const asked = Date.now();
    try {
      const answer = await requests.ask<T>(request, signal);
      checkAnswer(name, request as Request, answer, Date.now() - asked);
      return answer;
    } finally {
      clearInterval(watch);
    }
  }
  return device;
}

const lost = (why: string, hint = "its page was closed, reloaded or put to sleep; open it again"): DeviceError =>
  new DeviceError("device-lost", `the device has gone: ${why}`, { hint });

/**
 * Why a socket ended that this side did not end. A page that is left says so; for one whose process died, Chromium closes with 1001
 * (RFC 6455, 7.4.1: going away), and anything else breaks off without a word (1006).
 */
function lossOf(code: number): DeviceError {
  if (code === CLOSED.left || code === 1000) return lost("its page was closed or reloaded");
  if (code === CLOSED.over) return lost("the hub was closed", "start the hub again");
  if (code === 1009) return lost("it sent a message that is longer than allowed", "the model's outputs are too large");
  if (code === 1001 || code === 1006) {
    return new DeviceError(
      "device-crashed",
      "the device broke off: its tab or process crashed or was killed, or its network failed",
      {
        hint: "open the page again; if it crashes at the same place, the model may need more memory than a tab gets",
      },
    );
  }
  return lost(`its connection was closed with code ${code}`);
}

async function greeting(ws: WebSocket, gone: Promise<DeviceError>, limitMs: number): Promise<Hello> {
  let timer: NodeJS.Timeout | undefined;
  const first = await Promise.race([
    new Promise<Buffer>((resolve) => ws.once("message", (data: Buffer) => resolve(data))),
    gone.then((reason) => Promise.reject(reason)),
    new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new DeviceError("device-silent", "the device joined and said nothing")), limitMs);
    }),
  ]).finally(() => clearTimeout(timer));
  const message = decodeMessage(first);
  const refusal = refusalSchema.safeParse(message);
  if (refusal.success) throw new DeviceError(refusal.data.error.code, refusal.data.error.message);
  const hello = helloSchema.safeParse(message);
  if (!hello.success) throw new DeviceError("message", "the device's greeting is not well formed");
  if (hello.data.protocol !== PROTOCOL_VERSION) {
    throw new DeviceError(
      "protocol-version",
      `the device speaks protocol ${hello.data.protocol}, this edgefit ${PROTOCOL_VERSION}`,
      { hint: "reload its page" },
    );
  }
  return hello.data;
}
