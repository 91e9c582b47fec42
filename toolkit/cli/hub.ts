/** `edgefit hub`: a server that phones and boards join; every one of them is a device for other commands. */
import type { Argv } from "yargs";
import { UsageError } from "../graph/errors.js";
import type { Command, FlagsOf } from "./command.js";
import { examples, given, optionalNumber } from "./flags.js";
import { hubInvitation } from "./invite.js";

const group = "Hub:";

const declare = (y: Argv) =>
  examples(
    y
      .option("port", {
        type: "string",
        requiresArg: true,
        group,
        describe: "port to listen on (8717; https at the next one)",
      })
      .option("host", {
        type: "string",
        requiresArg: true,
        group,
        describe: "address to listen on (all of this machine)",
      })
      .option("name", {
        type: "string",
        requiresArg: true,
        group,
        describe: "name or address of this machine that phones open (its first one in a network)",
      })
      .option("https", {
        type: "boolean",
        group,
        describe: "a secure address as well, for threads and WebGPU, with a certificate made here",
      })
      .option("token", {
        type: "string",
        requiresArg: true,
        group,
        describe: "what devices must show (a new one at each start)",
      })
      .option("queue", {
        type: "string",
        requiresArg: true,
        group,
        describe: "redis://HOST:PORT: keep models and data for its machines, and lend the devices that join",
      })
      .option("class", {
        type: "string",
        requiresArg: true,
        group,
        describe: "with --queue: class of all devices of this hub (system, runtime and threads of each)",
      })
      .option("blobs", {
        type: "string",
        requiresArg: true,
        group,
        describe: "with --queue: folder for models and data (in the cache)",
      }),
    ["hub", "then scan the code with a phone, and in another terminal:"],
    ["devices", "who has joined"],
    ["fit model.onnx --budget 60% --device hub --data photos/", "fit to whichever device has joined"],
    ["hub --https", "phones with threads and WebGPU; the browser warns of the certificate once"],
    ["hub --queue redis://build:6379 --class android-mid", "lend the phones that join to everyone on a queue"],
    ["hub --host 127.0.0.1 --port 9000", "for browsers of this machine, as through adb reverse tcp:9000 tcp:9000"],
  );

export const hub: Command<FlagsOf<typeof declare>> = {
  command: "hub",
  describe: "Let phones and boards join as devices, by QR code",
  builder: declare,
  async run(flags, { terminal, signal }) {
    const started = await start(flags, (text) => terminal.note(text));
    const { devices, pageUrl, plainUrl, certificate, remote } = started;
    const say = (text: string, event: object) => {
      if ((flags as { json?: boolean }).json) terminal.line(JSON.stringify(event));
      else terminal.line(text);
    };
    let unwatch = () => {};
    try {
      say(hubInvitation(started), { event: "listening", pageUrl, plainUrl, certificate, remote });
      unwatch = devices.watch(({ event, device, reason }) => {
        const time = new Date().toTimeString().slice(0, 8);
        say(`${time}  ${eventText(event, device, reason)}`, { event, device, ...(reason ? { reason } : {}) });
      });
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    } finally {
      unwatch();
      await started.close();
    }
  },
};

async function start(flags: FlagsOf<typeof declare>, onNote: (text: string) => void) {
  const { host, name, https, token, queue, blobs } = flags;
  const options = given({ host, name, https, token, port: optionalNumber("--port", flags.port, 0) });
  if (queue === undefined) {
    if (flags.class !== undefined || blobs !== undefined)
      throw new UsageError("queue-missing", "--class and --blobs are for a hub on a queue", {
        hint: "give --queue too",
      });
    return (await import("../../runners/hub/run.js")).startHub(options);
  }
  const { startQueueHub } = await import("../fleet/hub.js");
  return startQueueHub({ ...options, queue, onNote, ...given({ blobs, class: flags.class }) });
}

type Event = Parameters<
  Parameters<Awaited<ReturnType<typeof import("../../runners/hub/run.js").startHub>>["devices"]["watch"]>[0]
>[0];

function eventText(event: Event["event"], d: Event["device"], reason?: string): string {
  switch (event) {
    case "joined": {
      const { hardware, runtime, emulated } = d.facts;
      const adapter = d.page?.adapter;
      const parts = [
        hardware.cpu,
        `${runtime.package} ${runtime.version}`,
        `${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"} of ${hardware.cores}`,
        ...(d.page ? [d.page.isolated ? "isolated" : "not isolated: one thread only"] : []),
        ...(d.page ? [adapter ? `WebGPU ${adapter.vendor} ${adapter.architecture}`.trim() : "no WebGPU"] : []),
        ...(emulated ? ["emulated"] : []),
      ];
      return `${d.name} joined: ${parts.join(", ")}`;
    }
    case "left":
      return `${d.name} left: ${reason ?? "it has gone"}`;
    case "taken":
      return `${d.name} works: ${d.busy}`;
    case "freed":
      return `${d.name} is free`;
  }
}
