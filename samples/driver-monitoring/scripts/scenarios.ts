/** The scripted behaviours, each with the answers that follow from its script. */
import type { AlertKind, AlertLevel } from "../behaviour/index.js";
import { type Action, blinks } from "./script.js";

/** An alert that must be up at some time within [fromMs, toMs] and at no other time, but for the time it is held. */
export interface ExpectedAlert {
  kind: AlertKind;
  /** The highest level it reaches. */
  level: AlertLevel;
  fromMs: number;
  toMs: number;
}

export interface Scenario {
  name: string;
  lengthMs: number;
  actions: readonly Action[];
  /** How often each event happens. */
  events: Readonly<Record<"blink" | "long-blink" | "microsleep" | "yawn", number>>;
  alerts: readonly ExpectedAlert[];
}

const none = { blink: 0, "long-blink": 0, microsleep: 0, yawn: 0 };

const close = (at: number, forMs: number): Action => ({ do: "close", at, forMs });
const look = (at: number, forMs: number, yaw: number, pitch: number): Action => ({ do: "look", at, forMs, yaw, pitch });

/** All begin with enough undisturbed seconds for calibration. */
export const scenarios: readonly Scenario[] = [
  {
    name: "awake, blinking",
    lengthMs: 30_000,
    actions: blinks(4000, 30_000),
    events: { ...none, blink: 6 },
    alerts: [],
  },
  {
    name: "one blink",
    lengthMs: 12_000,
    actions: [close(7000, 80)],
    events: { ...none, blink: 1 },
    alerts: [],
  },
  {
    name: "long blink",
    lengthMs: 12_000,
    actions: [close(7000, 650)],
    events: { ...none, "long-blink": 1 },
    alerts: [],
  },
  {
    name: "microsleep",
    lengthMs: 14_000,
    actions: [close(7000, 1800)],
    events: { ...none, microsleep: 1 },
    alerts: [{ kind: "microsleep", level: "critical", fromMs: 7950, toMs: 8900 }],
  },
  {
    name: "slow eyelids for a minute",
    lengthMs: 75_000,
    actions: Array.from({ length: 17 }, (_, i) => close(6000 + 4000 * i, 700)),
    events: { ...none, "long-blink": 17 },
    alerts: [{ kind: "drowsiness", level: "warning", fromMs: 14_000, toMs: 75_000 }],
  },
  {
    name: "one yawn",
    lengthMs: 16_000,
    actions: [{ do: "yawn", at: 8000, forMs: 3000 }],
    events: { ...none, yawn: 1 },
    alerts: [],
  },
  {
    name: "two yawns",
    lengthMs: 30_000,
    actions: [
      { do: "yawn", at: 8000, forMs: 3000 },
      { do: "yawn", at: 18_000, forMs: 3500 },
    ],
    events: { ...none, yawn: 2 },
    alerts: [{ kind: "drowsiness", level: "notice", fromMs: 19_000, toMs: 30_000 }],
  },
  {
    name: "talking",
    lengthMs: 14_000,
    actions: Array.from({ length: 12 }, (_, i) => ({ do: "yawn", at: 6000 + 1500 * i, forMs: 100 }) as const).slice(
      0,
      4,
    ),
    events: none,
    alerts: [],
  },
  {
    name: "mirror glances",
    lengthMs: 20_000,
    actions: [look(7000, 1000, 40, -4), look(11_000, 900, -35, 2), look(15_000, 1100, 30, 12)],
    events: none,
    alerts: [],
  },
  {
    name: "mirror, too long",
    lengthMs: 16_000,
    actions: [look(7000, 4500, 40, -4)],
    events: none,
    alerts: [{ kind: "distraction", level: "warning", fromMs: 9700, toMs: 12_100 }],
  },
  {
    name: "phone",
    lengthMs: 16_000,
    actions: [look(7000, 3200, 8, -34)],
    events: none,
    alerts: [{ kind: "distraction", level: "warning", fromMs: 8700, toMs: 10_700 }],
  },
  {
    name: "away",
    lengthMs: 18_000,
    actions: [look(7000, 5000, 75, -5)],
    events: none,
    alerts: [{ kind: "distraction", level: "critical", fromMs: 8700, toMs: 12_500 }],
  },
  {
    name: "short looks away, again and again",
    lengthMs: 34_000,
    actions: Array.from({ length: 9 }, (_, i) => look(6000 + 2600 * i, 1200, 5, -32)),
    events: none,
    alerts: [{ kind: "distraction", level: "warning", fromMs: 21_500, toMs: 28_500 }],
  },
  {
    name: "sunglasses",
    lengthMs: 18_000,
    actions: [{ do: "sunglasses", at: 6000, forMs: 8000 }],
    events: none,
    alerts: [{ kind: "eyes-hidden", level: "notice", fromMs: 9000, toMs: 14_600 }],
  },
  {
    name: "sunglasses, head away",
    lengthMs: 22_000,
    actions: [
      { do: "sunglasses", at: 0, forMs: 22_000 },
      { do: "look", at: 10_000, forMs: 3500, yaw: 75, pitch: 0, head: 0.8 },
    ],
    events: none,
    alerts: [
      { kind: "eyes-hidden", level: "notice", fromMs: 3000, toMs: 22_000 },
      { kind: "distraction", level: "warning", fromMs: 11_700, toMs: 14_000 },
    ],
  },
  {
    name: "face lost",
    lengthMs: 18_000,
    actions: [{ do: "leave", at: 7000, forMs: 4000 }],
    events: none,
    alerts: [{ kind: "face-lost", level: "notice", fromMs: 8900, toMs: 11_100 }],
  },
  {
    name: "face lost for a moment",
    lengthMs: 12_000,
    actions: [{ do: "leave", at: 7000, forMs: 300 }],
    events: none,
    alerts: [],
  },
];
