/// <reference lib="dom" />
/** What the page shows. Knows the elements of `html.ts` and nothing of sockets or workers. */
import type { Facilities } from "./facilities.js";
import type { Hello, Note } from "./hello.js";
import type { Live } from "./messages.js";

const DOING: Record<string, string> = {
  load: "Loading a model",
  run: "Checking outputs",
  measure: "Measuring",
  profile: "Looking into the model",
  unload: "Tidying up",
  configure: "Changing the runtime",
};

const ENDED = {
  replaced: ["Another tab has taken over", "This browser has joined in another tab or window. One of them is enough."],
  stale: ["This code is no longer valid", "The hub was started anew. Scan the code that it shows now."],
  full: ["The hub is full", "It has as many devices as it takes."],
  over: ["Done", "The hub was closed. This page can be closed as well."],
} as const;

export type Screen = ReturnType<typeof screen>;

export function screen(d: Document, offered: Facilities) {
  const at = (id: string): HTMLElement => d.getElementById(id)!;
  const [state, detail, action, bar, stage, count] = ["state", "detail", "action", "bar", "stage", "count"].map(at);
  const facts = new Map<string, string>();
  let retry = () => {};
  let goOn = () => {};
  let name = "";
  /** What the host does; empty while there is none. */
  let title = "";
  /** Its stage, while that is not done. */
  let note: Note | undefined;
  let busy = false;
  /** What to go back to when a page that was hidden is seen again. */
  let awake = true;

  function say(kind: string, headline: string, sentence: string): void {
    d.body.dataset.state = kind;
    if (state.textContent !== headline) state.textContent = headline;
    detail.textContent = sentence;
  }

  function button(label: string | null, act: () => void = () => {}): void {
    action.hidden = label === null;
    action.textContent = label ?? "";
    action.onclick = act;
  }

  function progress(share: number | null | "open"): void {
    bar.hidden = share === null;
    bar.classList.toggle("open", share === "open");
    (bar.firstElementChild as HTMLElement).style.width = typeof share === "number" ? `${100 * share}%` : "";
  }

  function fact(label: string, value: string | null): void {
    if (value === null) facts.delete(label);
    else facts.set(label, value);
    at("facts").replaceChildren(
      ...[...facts].flatMap(([k, v]) => {
        const [dt, dd] = [d.createElement("dt"), d.createElement("dd")];
        dt.textContent = k;
        dd.textContent = v;
        return [dt, dd];
      }),
    );
  }

  /** Nothing is asked at this moment; a host that holds the device will ask more. */
  function idle(): void {
    busy = false;
    if (title) return;
    at("latency").hidden = true;
    say("ready", "Ready", "Waiting for work. What runs will be shown here.");
    button(null);
    progress(null);
    stage.textContent = count.textContent = "";
  }

  function working(what: string): void {
    busy = true;
    missingCard.open = false;
    // Loading and tidying take moments between measurements: the headline would flicker.
    if (d.body.dataset.state === "working" && /^(load|unload|run)$/.test(what)) return;
    say("working", DOING[what] ?? "Working", title || "Keep this page in front.");
    button(null);
    if (!note) progress("open");
  }

  const missingCard = d.getElementById("missing") as HTMLDetailsElement;
  missing(d, offered);
  return {
    loading: () => say("loading", "Loading the runtime", "Some megabytes, once."),
    runtime({ runtime, page, clockMs }: Hello): void {
      const threads = page!.threads === 1 ? "1 thread" : `${page!.threads} threads`;
      const { adapter } = offered;
      fact("Runs", page!.provider === "webgpu" ? "WebGPU" : `WebAssembly, ${threads}`);
      fact(
        "WebGPU",
        adapter ? [adapter.vendor, adapter.architecture].filter(Boolean).join(" ") || "available" : "not available",
      );
      fact("Cores", String(offered.cores));
      fact("Clock step", `${Number(clockMs.toPrecision(2))} ms`);
      fact("Battery", offered.charging === null ? null : offered.charging ? "charging" : "not charging");
      fact("Runtime", `${runtime.package} ${runtime.version}`);
    },
    named(given: string): void {
      name = given;
      at("name").textContent = name;
    },
    joined(): void {
      d.body.dataset.link = "up";
      title = "";
      note = undefined;
      idle();
    },
    idle,
    working,
    note(n: Note): void {
      title = n.title;
      note = n.done < n.total ? n : undefined;
      if (!title) {
        idle();
        return;
      }
      if (d.body.dataset.state === "working") detail.textContent = title;
      else if (n.total === 0) say("working", "Starting", title);
      progress(n.total > 0 ? n.done / n.total : "open");
      stage.textContent = n.stage;
      count.textContent = n.total > 0 ? `${n.done} of ${n.total}` : "";
    },
    live({ p50Ms, p95Ms, recent, samples, done }: Live): void {
      at("latency").hidden = false;
      figure(at("p50"), p50Ms);
      figure(at("p95"), p95Ms);
      at("samples").textContent = `${samples} samples`;
      at("spark").firstElementChild!.setAttribute("points", points(recent));
      if (!note) progress(done);
    },
    pace({ slower, waiting }: { slower: number; waiting: boolean }): void {
      const percent = Math.round(100 * slower);
      fact("Pace", percent < 5 ? "steady" : `${percent} % slower than at its best`);
      if (waiting) {
        say(
          "hot",
          "Pausing to cool down",
          `The processor runs ${percent} % slower than at its best: it is hot, or saves power. Take off the case, unplug the charger, switch power saving off. It goes on by itself.`,
        );
        button("Go on now", goOn);
      } else if (d.body.dataset.state === "hot") working("measure");
    },
    lost(seconds: number): void {
      d.body.dataset.link = "down";
      say(
        "lost",
        "Disconnected",
        `The hub does not answer. Next try in ${seconds} s; nothing that was measured is lost.`,
      );
      button("Try now", retry);
      progress(null);
      stage.textContent = count.textContent = "";
    },
    ended(why: keyof typeof ENDED): void {
      d.body.dataset.link = "down";
      say(why === "over" ? "over" : "failed", ENDED[why][0], ENDED[why][1]);
      button(why === "replaced" ? "Use this one" : null, retry);
      progress(null);
    },
    failed(reason: string): void {
      say("failed", "This browser cannot run it", reason);
      progress(null);
    },
    hidden(hidden: boolean): void {
      // Seen only in overviews of open tabs, and by people with two screens.
      d.title = hidden ? "edgefit: paused" : "edgefit";
      if (busy) {
        if (hidden) say("paused", "Paused", "Measuring goes on when this page is in front again.");
        else working("measure");
      }
    },
    awake(held: boolean): void {
      awake = held;
      at("foot").textContent = awake
        ? "The screen stays on while this page is in front."
        : "Keep this page in front, and set the screen not to switch off: this browser does not let the page do that here.";
    },
    onRetry(act: () => void): void {
      retry = act;
    },
    onGoOn(act: () => void): void {
      goOn = act;
    },
  };
}

function figure(e: HTMLElement, ms: number): void {
  const unit = e.ownerDocument.createElement("small");
  unit.textContent = " ms";
  e.replaceChildren(ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2), unit);
}

/** The samples as a line: the lowest at the bottom, the highest at the top, at least a tenth of the median between them. */
function points(values: readonly number[]): string {
  const low = Math.min(...values);
  const high = Math.max(...values, low * 1.1);
  return values
    .map(
      (v, i) =>
        `${((300 * i) / Math.max(1, values.length - 1)).toFixed(1)},${(45 - (42 * (v - low)) / (high - low || 1)).toFixed(1)}`,
    )
    .join(" ");
}

/** Says in plain words what an address that is not secure costs, and where the secure one is. */
function missing(d: Document, { secure, isolated, adapter }: Facilities): void {
  const lines: string[] = [];
  if (!isolated) {
    lines.push(
      "Threads: the runtime uses one. More need memory that threads share, which browsers give to isolated pages only.",
    );
    lines.push("A fine clock: this one is coarse, so short calls are timed several at a time.");
  }
  if (!adapter)
    lines.push(
      secure
        ? "WebGPU: this browser or its graphics driver does not offer it."
        : "WebGPU: browsers offer it to secure addresses only.",
    );
  const section = d.getElementById("missing")!;
  section.hidden = lines.length === 0;
  const list = section.querySelector("ul")!;
  list.replaceChildren(
    ...lines.map((text) => {
      const li = d.createElement("li");
      li.textContent = text;
      return li;
    }),
  );
  if (secure || lines.length === 0) return;
  const why = d.createElement("p");
  const origin = d.body.dataset.secure;
  section.append(why);
  if (!origin) {
    why.textContent =
      "The cause is the address: http is not secure. Start the hub with --https for one that is. What is measured here is right all the same, with one thread.";
    return;
  }
  why.textContent =
    "The cause is the address: http is not secure. The other one has a certificate that the hub made itself: the browser warns once, and you go on.";
  const link = section.querySelector("a")!;
  section.append(link);
  link.hidden = false;
  link.href = origin.replace("{host}", d.location.hostname) + d.location.pathname + d.location.search;
}
